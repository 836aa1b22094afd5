package follower

// OpenStill is Open for tests that refresh by themselves, with Pass; nothing happens between. Stop is called after Start only.
func OpenStill(cfg Config) (*Follower, error) { return open(cfg) }

// Pass is one refresh.
func (f *Follower) Pass() error { return f.pass() }

// Start lets it follow from now on.
func (f *Follower) Start() { go f.run() }

// Asked reports whether a refresh was asked for that has not begun.
func (f *Follower) Asked() bool { return len(f.kick) > 0 }

// Passing is passing.
var Passing = passing

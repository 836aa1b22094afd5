package follower

// OpenStill is Open for tests that refresh by themselves, with Pass; nothing happens between. Stop is not called.
func OpenStill(cfg Config) (*Follower, error) { return open(cfg) }

// Pass is one refresh.
func (f *Follower) Pass() error { return f.pass() }

// Passing is passing.
var Passing = passing

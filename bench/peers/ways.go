package peers

import "opossum/bench/harness"

// Ways returns all of them: each rival with its index, then without.
func Ways() []harness.Way {
	return []harness.Way{
		Bbolt(), BboltPlain(),
		Pebble(), PebblePlain(),
		Badger(), BadgerPlain(),
		SQLite(), SQLitePlain(),
		JetStream(), JetStreamPlain(),
	}
}

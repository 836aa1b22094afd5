// Package projection keeps read models: states folded from events, one for each key, that programs and people can read.
//
// A read model is derived. Nothing of it is synced, and whatever of it is lost or damaged is noticed and folded again from the events, which are the truth. Each state
// remembers the position of the last event that it includes, so an event that is delivered again changes nothing: every event is applied exactly once, whatever
// crashed in between.
package projection

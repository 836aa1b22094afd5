// Package invariant holds what must be true of a store after every crash: Check, the one function that judges them all. What must be true of one that
// was damaged at rest, where an error may be the answer, is in Examine.
//
// It sees the store as any user does, through the engine's API and the event files. It runs in the process of the engine that is judged,
// because a sabotaged engine must recover by its own code.
package invariant

// Package sabotage holds known durability bugs, builds each into the engine on purpose, and demands that the lab catches it.
//
// A lab that finds nothing may be blind. Each bug here is one that somebody had, or that one careless line would bring back; a technique that
// catches it has shown that it looks there. The bugs are edits that only such a build sees (package variant): the engine knows nothing of them.
package sabotage

// Package index answers which positions match a query, and where in the log their bodies are.
//
//	0 ................. Indexed ........................ staged
//	segments (files)    | memory parts: old, ..., active
//
// Segments cover the durable past and are immutable; memory parts cover what came after them, the last of them takes what is
// staged. The ranges are disjoint, so that combining their answers is concatenation: no gap, no duplicate, no merging.
package index

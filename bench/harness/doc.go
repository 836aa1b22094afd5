// Package harness measures opossum beside other ways of making the same events durable.
//
// There is one workload ([Workload]), one harness ([Fleet] and [Interleave]) and one list of ways ([Ways]). Every way is
// a [Target], so that whatever is compared is fed the same events by the same loop. The package sees of opossum what any
// user sees: the root package.
//
// README.md says how to run it, on what disk, and what not to conclude from it.
package harness

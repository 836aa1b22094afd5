// Package killpoint crashes the store before and after every step that changes its disk: by SIGKILL, or by a power cut while the step stands still.
//
// Steps are enumerated by class, "rename ledger.json" or "sync index/.tmp-X", and within a class by number: the first of each class, then the second, until
// a run of the scenario ends without meeting one more. So a few rounds meet every class, and all of them meet every step.
package killpoint

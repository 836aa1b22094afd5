// Package ledger keeps the numbers that divide history: in memory, where goroutines wait on them, and in ledger.json.
package ledger

// Package story tells, on real file systems, what the store is for: an address that was registered once is taken for ever, and what is derived can go.
package story

package main

import "opossum/bench/page"

// cautions say what the figures do not show.
func cautions(r results) page.Section {
	s := page.Section{Title: "What not to conclude"}
	if len(r.Cells) == 0 {
		return s
	}
	for _, line := range []string{
		"Nothing about another disk. One that survives a loss of power answers a sync in 20 µs, a consumer SSD in 1 ms or more, and a virtual one may lie: a guest cannot see whether a flush reaches anything.",
		"Nothing from a difference smaller than its spread. Rounds take turns, so that a slow minute of the disk is slow for all, but three rounds are no statistics.",
		"Not that a rival is slow at what it was made for. Each is asked here for an event store's work on two processors: key-value stores are made for updates, SQLite for questions that nobody foresaw, JetStream for many machines and consumers. " +
			"Its adapters are short and in `bench/peers`: where one could do better, say how.",
		"Nothing about long runs, but where a section says so. A cell of appends lasts less than a second, on an empty store.",
		"Nothing about cold reads, but where a section says so. What is read lies in the page cache.",
		"Not that closed loops tell latency. Only the section on latency counts from when an append was due.",
		"Not that all promise the same. Of the ways in the first section only opossum checks conditions, answers queries and recovers.",
	} {
		s.Blocks = append(s.Blocks, page.Block{Text: line})
	}
	return s
}

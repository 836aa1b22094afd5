package rot

import (
	"path/filepath"
	"strings"
)

// kinds are the kinds of files in a store.
var kinds = []string{"log", "acked", "ledger", "events", "packs", "index", "quarantine", "lock"}

// Kinds of files of read models.
const (
	states    = "states"
	indexLogs = "index logs"
)

// kindOf tells the kind of a file of a store by its relative path; "" is none of them.
func kindOf(path string) string {
	dir, name := filepath.Split(path)
	room, _, inside := strings.Cut(filepath.ToSlash(dir), "/")
	switch {
	case path == "LOCK":
		return "lock"
	case path == "ledger.json":
		return "ledger"
	case room == "wal" && name == "ACKED":
		return "acked"
	case room == "wal" && !strings.Contains(dir, ".tmp"):
		return "log"
	case room == "projections" && name == "index.jsonl":
		return indexLogs
	case room == "projections" && filepath.Ext(name) == ".json":
		return states
	case inside && (room == "events" || room == "packs" || room == "index" || room == "quarantine"):
		return room
	}
	return ""
}

package story

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// derived lists what is derived in a store, by kind: what nobody promised to keep, or what can be built anew from the rest. Those are all segments of the index, the
// event files and packs above the checkpoint, the log's ACKED, and whatever was being written.
func derived(store string) (map[string][]string, error) {
	text, err := os.ReadFile(filepath.Join(store, "ledger.json"))
	if err != nil {
		return nil, err
	}
	var ledger struct{ Materialized uint64 }
	if err := json.Unmarshal(text, &ledger); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	err = filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(store, path)
		if err != nil {
			return err
		}
		kind := ""
		switch name := d.Name(); {
		case strings.HasPrefix(name, ".tmp-") || strings.HasSuffix(name, ".tmp"):
			kind = "what was being written"
		case d.IsDir():
		case rel == filepath.Join("wal", "ACKED"):
			kind = "ACKED"
		case strings.HasPrefix(rel, "index"+string(filepath.Separator)):
			kind = "index segments"
		case strings.HasPrefix(rel, "packs"+string(filepath.Separator)):
			digits, _, _ := strings.Cut(name, "-")
			if first, err := strconv.ParseUint(digits, 10, 64); err == nil && first > ledger.Materialized {
				kind = "packs above the checkpoint"
			}
		case strings.HasPrefix(rel, "events"+string(filepath.Separator)):
			digits, isEvent := strings.CutSuffix(name, ".json")
			if p, err := strconv.ParseUint(digits, 10, 64); isEvent && err == nil && p > ledger.Materialized {
				kind = "event files above the checkpoint"
			}
		}
		if kind == "" {
			return nil
		}
		out[kind] = append(out[kind], path)
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	return out, err
}

package invariant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"opossum"
)

// eventFile is an event file as docs/format/event-file.md describes it, read with nothing of the engine's.
type eventFile struct {
	Position   opossum.Position  `json:"position"`
	ID         uuid.UUID         `json:"id"`
	Type       string            `json:"type"`
	Tags       []opossum.Tag     `json:"tags"`
	Time       time.Time         `json:"time"`
	Metadata   map[string]string `json:"metadata"`
	Data       json.RawMessage   `json:"data"`
	DataText   *string           `json:"dataText"`
	DataBase64 []byte            `json:"dataBase64"`
}

func (f eventFile) data() []byte {
	switch {
	case f.Data != nil:
		return f.Data
	case f.DataText != nil:
		return []byte(*f.DataText)
	}
	return f.DataBase64
}

// checkFiles compares the event files up to the checkpoint with the events. What has no file is in a pack, whose content is seen when it is read. A file beside a pack may be
// anything that a power cut left of it: it goes.
func checkFiles(dir string, all []opossum.SequencedEvent, upto opossum.Position) error {
	if int(upto) > len(all) {
		return fmt.Errorf("the checkpoint is %d, and there are %d events", upto, len(all))
	}
	paths, err := filePaths(dir)
	if err != nil {
		return err
	}
	wrong := map[opossum.Position]error{}
	for _, want := range all[:upto] {
		if err := checkFile(paths[want.Position], want); err != nil {
			wrong[want.Position] = err
		}
	}
	l, err := layoutOf(dir) // after the files: who packs a shard removes its files when it is packed
	if err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(wrong)) {
		if !l.packed(p) {
			return fmt.Errorf("position %d is below the checkpoint %d, and in no pack: %w", p, upto, wrong[p])
		}
	}
	return nil
}

// checkFile compares an event file with the event that must be in it. Without a path there is no file.
func checkFile(path string, want opossum.SequencedEvent) error {
	if path == "" {
		return fs.ErrNotExist
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := compare(text, want); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// checkQuarantine compares what was cut off with what is kept of it.
func checkQuarantine(r opossum.RecoveryReport) error {
	kept := int64(0)
	for _, path := range r.Quarantined {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
		kept += info.Size()
	}
	if kept != r.CutBytes {
		return fmt.Errorf("recovery cut %d bytes off, and the quarantine has %d of them, in %v", r.CutBytes, kept, r.Quarantined)
	}
	return nil
}

// filePaths finds the event files by their names, wherever they are.
func filePaths(dir string) (map[opossum.Position]string, error) {
	out := map[opossum.Position]string{}
	err := filepath.WalkDir(filepath.Join(dir, "events"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a shard may be packed meanwhile
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if digits, ok := strings.CutSuffix(d.Name(), ".json"); ok {
			p, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				return err
			}
			out[opossum.Position(p)] = path
		}
		return nil
	})
	return out, err
}

func compare(text []byte, want opossum.SequencedEvent) error {
	var f eventFile
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	e := want.Event
	if f.Position != want.Position || f.ID != e.ID || f.Type != e.Type || !f.Time.Equal(e.Time) || !maps.Equal(f.Metadata, e.Metadata) ||
		fmt.Sprint(f.Tags) != fmt.Sprint(e.Tags) || !bytes.Equal(f.data(), e.Data) {
		return fmt.Errorf("the file is not that of the event at position %d", want.Position)
	}
	return nil
}

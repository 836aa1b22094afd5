package harness

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"opossum"
)

// eventFile is the text of an event that is a file of its own. It has what the workload's events have: no ID, no metadata.
type eventFile struct {
	Position uint64          `json:"position"`
	Type     string          `json:"type"`
	Tags     []opossum.Tag   `json:"tags"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data"`
}

func eventText(position uint64, e *opossum.Event) ([]byte, error) {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	return json.Marshal(eventFile{position, e.Type, e.Tags, at.UTC(), e.Data})
}

// filesPerShard keeps directories small, as opossum does.
const filesPerShard = 10_000

func eventPath(dir string, position uint64) string {
	shard := strconv.FormatUint(position/filesPerShard, 10)
	return filepath.Join(dir, "events", shard, strconv.FormatUint(position, 10)+".json")
}

// writeFile writes a new file, fsyncs it if told to, and makes its directory when that is missing.
func writeFile(path string, text []byte, fsync bool) error {
	file, err := createFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		file, err = createFile(path)
	}
	if err != nil {
		return err
	}
	if _, err := file.Write(text); err != nil {
		return errors.Join(err, file.Close())
	}
	if fsync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func createFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
}

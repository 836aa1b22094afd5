package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"opossum/dcb"
	"opossum/internal/step"
)

const (
	// FileName is the name of the ledger's file in a store's directory.
	FileName = "ledger.json"
	// Version is the newest format version of a store that this code knows.
	Version = 1

	formatName = "opossum-ledger"
	tempName   = FileName + ".tmp"
)

// State is what ledger.json says. It is small, read once at Open and replaced at each checkpoint.
type State struct {
	Store        uuid.UUID    `json:"store"`        // identity; seeds every checksum of the log
	Epoch        uint64       `json:"epoch"`        // goes up when visible events may have been lost (relaxed flushing, or a repair with consent)
	Materialized dcb.Position `json:"materialized"` // the checkpoint: events up to here are filed durably
	Relaxed      bool         `json:"relaxed"`      // the last owner acknowledged before syncing
	Clean        *End         `json:"clean"`        // the witness of a clean close; nil if there was none
}

// End is where the log ended at a clean close. It needs no withdrawal: the next append makes the log differ from it, unless a
// power cut takes the append back, which for an acknowledged one only relaxed flushing allows. So a relaxed owner has no witness while it
// is open.
type End struct {
	Generation uint64       `json:"generation"`
	Offset     int64        `json:"offset"`
	Sum        string       `json:"sum"` // of the last frame, 16 hex digits: JSON numbers are not safe beyond 2^53
	Head       dcb.Position `json:"head"`
}

// document is the file's layout: versions first, so that a newer format can be told apart from damage.
type document struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	State
}

// checksumLine ends the file; the sum covers all bytes before the line.
const checksumLine = "  \"checksum\": \"xxh64:%016x\"\n}\n"

// Encode returns the text of ledger.json.
func (s State) Encode() []byte {
	b, err := json.MarshalIndent(document{formatName, Version, s}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("ledger: encode: %v", err)) // numbers, strings and a UUID always encode
	}
	b = append(bytes.TrimSuffix(b, []byte("\n}")), ",\n"...)
	return fmt.Appendf(b, checksumLine, xxhash.Sum64(b))
}

// Decode reads the text of ledger.json. The error Is ErrVersion for a newer format; any other error means damage, and
// nothing of the content is believed then.
func Decode(text []byte) (State, error) {
	var doc document
	var probe struct {
		Format  string
		Version int
	}
	// The version is looked at before the checksum, which a newer format may compute in another way.
	if json.Unmarshal(text, &probe) == nil && probe.Format == formatName && probe.Version > Version {
		return State{}, fmt.Errorf("%w %d, this program knows %d", dcb.ErrVersion, probe.Version, Version)
	}
	i := bytes.LastIndex(text, []byte("  \"checksum\""))
	if i < 0 {
		return State{}, errors.New("no checksum")
	}
	if want := fmt.Sprintf(checksumLine, xxhash.Sum64(text[:i])); string(text[i:]) != want {
		return State{}, errors.New("checksum does not match")
	}
	// Past the checksum the text is ours; strictness guards against a faulty writer.
	body := append(bytes.TrimSuffix(bytes.Clone(text[:i]), []byte(",\n")), "\n}"...)
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return State{}, err
	}
	if doc.Format != formatName || doc.Version != Version || doc.Store == uuid.Nil {
		return State{}, fmt.Errorf("format %q version %d store %s", doc.Format, doc.Version, doc.Store)
	}
	if !bytes.Equal(doc.State.Encode(), text) { // say, a missing field, which would read as zero
		return State{}, errors.New("not the text of any state")
	}
	return doc.State, nil
}

// Load reads ledger.json in dir. The error Is fs.ErrNotExist if there is none, ErrVersion if it is of a newer format, and
// ErrCorrupt if it is damaged: it is never guessed.
func Load(dir string) (State, error) {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return State{}, fmt.Errorf("ledger: %w", err)
	}
	s, err := Decode(text)
	if errors.Is(err, dcb.ErrVersion) {
		return State{}, fmt.Errorf("ledger: %s: %w", path, err)
	}
	if err != nil {
		return State{}, &dcb.CorruptError{File: path, Reason: err.Error()}
	}
	return s, nil
}

// ErrUnsynced marks an error of Store that came before the first sync: the old state stands, and Store may be called again.
var ErrUnsynced = errors.New("the ledger was not touched")

// Store replaces ledger.json in dir atomically and durably: temporary file, fsync, rename, fsync of the directory.
// When it returns an error, the old or the new state stands, never a mixture. It Is ErrUnsynced if nothing was synced yet.
func Store(dir string, s State) (err error) {
	temp := filepath.Join(dir, tempName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("ledger: store: %w", err)
		}
	}()
	f, err := step.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsynced, err)
	}
	if err = step.Write(f, s.Encode()); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrUnsynced, err), f.Close(), step.Remove(temp))
	}
	if err = errors.Join(step.Sync(f), f.Close()); err != nil {
		return errors.Join(err, step.Remove(temp))
	}
	if err := step.Rename(temp, filepath.Join(dir, FileName)); err != nil {
		return err
	}
	return step.SyncDir(dir)
}

// RemoveTemp removes what a Store left behind whose process died; it reports whether there was something.
func RemoveTemp(dir string) (bool, error) {
	err := step.Remove(filepath.Join(dir, tempName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

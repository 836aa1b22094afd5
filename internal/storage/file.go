package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"opossum/internal/step"
)

const (
	// FileName is the name of the measurement's file in a store's directory.
	FileName = "storage.json"
	// Version is the newest format version of the file that this code knows.
	Version = 1

	formatName = "opossum-storage"
	tempName   = FileName + ".tmp"
	probeName  = "storage.probe"
)

// document is the file's layout.
type document struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Measurement
}

// encode returns the text of storage.json. The error is that of a time that has no text.
func (m Measurement) encode() ([]byte, error) {
	b, err := json.MarshalIndent(document{formatName, Version, m}, "", "  ")
	return append(b, '\n'), err
}

// decode reads the text of storage.json. An error means that there is no measurement in it that this code could have written.
func decode(text []byte) (Measurement, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return Measurement{}, err
	}
	m := doc.Measurement
	switch {
	case doc.Format != formatName || doc.Version != Version:
		return Measurement{}, fmt.Errorf("format %q version %d", doc.Format, doc.Version)
	case m.Flushes < 1 || m.Fastest < 0 || m.Fastest > m.Median || m.Median > m.Slowest:
		return Measurement{}, errors.New("no measurement")
	case m.Class != Classify(m.Median):
		return Measurement{}, fmt.Errorf("class %s with a median of %s", m.Class, m.Median)
	case m.WriteCache != parseCache(m.WriteCache):
		return Measurement{}, fmt.Errorf("write cache %q", m.WriteCache)
	}
	return m, nil
}

// Load reads storage.json in dir. false means that the disk has to be measured (anew): the file is missing, damaged or of another version, or it was
// written on another disk, as in a store that was copied. Another disk is one with another file-system type or device; where the system says
// neither, every disk is the same one.
func Load(dir string) (Measurement, bool) {
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		return Measurement{}, false
	}
	m, err := decode(text)
	if err != nil {
		return Measurement{}, false
	}
	here, err := Describe(dir)
	if err != nil || here.FileSystem != m.FileSystem || here.Device != m.Device {
		return Measurement{}, false
	}
	return m, true
}

// Store replaces storage.json in dir, by a temporary file and a rename. Nothing is synced: what a power cut takes back or empties is missing or
// unreadable then, and measured anew. REQUIRES: dir is owned.
func Store(dir string, m Measurement) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, tempName)
	f, err := step.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(step.Write(f, text), f.Close()); err != nil {
		return errors.Join(err, step.Remove(temp))
	}
	if err := step.Rename(temp, filepath.Join(dir, FileName)); err != nil {
		return errors.Join(err, step.Remove(temp))
	}
	return nil
}

// probing matches the names of Probe's files.
var probing = regexp.MustCompile(`^storage\.probe-[0-9a-f]{16}$`)

// IsTemp reports whether a file of that name in a store's directory is one that Store, Measure or Probe is not done with, or has left behind
// when its process died.
func IsTemp(name string) bool {
	return name == tempName || name == probeName || probing.MatchString(name)
}

// RemoveTemp removes the files of such names. A Probe that is at work goes on without its name.
func RemoveTemp(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if IsTemp(e.Name()) && e.Type().IsRegular() {
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

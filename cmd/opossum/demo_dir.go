package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"opossum"
)

// demoMarker is the file that tells a store of the demo, which may be deleted, from every other.
const demoMarker = "DEMO.txt"

const demoMarkerText = "Made by `opossum demo`, which deletes this directory's contents when it runs here again.\n"

// clearDemo empties dir if an earlier demo filled it. It refuses any other directory that is not empty, and one that a
// process is using.
func clearDemo(dir string, stderr io.Writer) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	marker := filepath.Join(dir, demoMarker)
	if _, err := os.Lstat(marker); err != nil {
		return fmt.Errorf("%s is neither empty nor an earlier demo: it is left alone; name another directory with --dir", dir)
	}
	if err := requireUnowned(dir, stderr); err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == demoMarker {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return os.Remove(marker) // last, so that an interrupted deletion can be repeated
}

// requireUnowned refuses a store that a process owns. Any other trouble with it ends with its deletion.
func requireUnowned(dir string, stderr io.Writer) error {
	e, err := opossum.Open(dir, &opossum.Options{Logger: logTo(stderr, demoLogLevel)})
	if errors.Is(err, opossum.ErrLocked) {
		return err
	}
	if err == nil {
		return e.Close()
	}
	return nil
}

// exampleFile is an event file to look at.
type exampleFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// newestEventFile returns the last file of the last directory of event files.
func newestEventFile(dir string) (exampleFile, error) {
	path := filepath.Join(dir, "events")
	for range 2 { // the directory, the file
		entries, err := os.ReadDir(path) // sorted, and names sort as positions do
		if err != nil {
			return exampleFile{}, err
		}
		if len(entries) == 0 {
			return exampleFile{}, fmt.Errorf("%s is empty", path)
		}
		path = filepath.Join(path, entries[len(entries)-1].Name())
	}
	text, err := os.ReadFile(path)
	return exampleFile{path, string(text)}, err
}

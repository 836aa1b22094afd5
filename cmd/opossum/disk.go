package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// diskUse is what a part of a store takes on disk.
type diskUse struct {
	Files     int   `json:"files"`
	Bytes     int64 `json:"bytes"`     // the files' contents
	Allocated int64 `json:"allocated"` // the blocks they fill; equal to Bytes where the system does not tell
}

func (u diskUse) plus(v diskUse) diskUse {
	return diskUse{u.Files + v.Files, u.Bytes + v.Bytes, u.Allocated + v.Allocated}
}

// storeUse is what a store takes on disk, by the directories of its layout.
type storeUse struct {
	Log        diskUse `json:"log"`
	EventFiles diskUse `json:"eventFiles"`
	Packs      diskUse `json:"packs"`
	Index      diskUse `json:"index"`
	Other      diskUse `json:"other"`
}

func (s *storeUse) area(name string) *diskUse {
	switch name {
	case "wal":
		return &s.Log
	case "events":
		return &s.EventFiles
	case "packs":
		return &s.Packs
	case "index":
		return &s.Index
	default:
		return &s.Other
	}
}

// measureStore adds up the files of the store at dir. The store may be at work: files that vanish meanwhile are not
// counted.
func measureStore(dir string) (use storeUse, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		area := use.area(topLevel(dir, path))
		*area = area.plus(diskUse{1, info.Size(), allocated(info)})
		return nil
	})
	return use, err
}

// topLevel returns the first element of path below dir.
func topLevel(dir, path string) string {
	below, err := filepath.Rel(dir, path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(filepath.ToSlash(below), "/")
	return first
}

// text is the line that reports u.
func (u diskUse) text() string {
	if u.Files == 0 {
		return "nothing"
	}
	text := bytesText(u.Bytes) + " in " + counted(u.Files, "file")
	if u.Allocated > u.Bytes+u.Bytes/10 {
		text += ", filling " + bytesText(u.Allocated) + " of disk blocks"
	}
	return text
}

// lines are one for every area that holds something; the log and the event files are always named.
func (s storeUse) lines() []labelled {
	lines := []labelled{{"log", s.Log.text()}, {"event files", s.EventFiles.text()}}
	if s.Packs.Files > 0 {
		lines = append(lines, labelled{"packs", s.Packs.text()})
	}
	if s.Index.Files > 0 {
		lines = append(lines, labelled{"index", s.Index.text()})
	}
	if s.Other.Files > 0 {
		lines = append(lines, labelled{"other", s.Other.text()})
	}
	return lines
}

func (s storeUse) text() string {
	var b strings.Builder
	for _, l := range s.lines() {
		b.WriteString(l.text(labelWidth))
	}
	return b.String()
}

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"opossum/crashlab/internal/variant"
)

// schema is a package with all its mutants in it, each behind a switch that the environment turns: one build instead of one for each mutant.
// It also tells which mutants a test reaches.
type schema struct {
	root    string
	pkg     string
	texts   map[string]string // as they are, by file
	mutants []mutant          // a mutant's number is its place here, from 1
	alone   map[int]bool      // numbers of those that need a build of their own
}

// Environment variables of a program built from a schema.
const (
	activeVariable  = "OPOSSUM_MUTANT"          // the number of the mutant that is in force
	reachedVariable = "OPOSSUM_MUTANTS_REACHED" // the file that gets the numbers of those that are reached
)

// switches goes behind one file of the package, switchImports behind its package clause. %d is the number of mutants.
const (
	switchImports = `; import (mutantatomic "sync/atomic"; mutantos "os"; mutantstrconv "strconv")`
	switches      = `
var mutantActive, _ = mutantstrconv.Atoi(mutantos.Getenv("` + activeVariable + `"))

var mutantReached = func() *mutantos.File {
	f, _ := mutantos.OpenFile(mutantos.Getenv("` + reachedVariable + `"), mutantos.O_CREATE|mutantos.O_WRONLY|mutantos.O_APPEND, 0o600)
	return f
}()

var mutantSeen [%d + 1]mutantatomic.Bool

func mutated(id int) bool {
	if mutantReached != nil && !mutantSeen[id].Load() {
		mutantSeen[id].Store(true)
		mutantReached.WriteString(mutantstrconv.Itoa(id) + "\n")
	}
	return id == mutantActive
}

func mutantNumber[T any](id int, changed, kept T) T {
	if mutated(id) {
		return changed
	}
	return kept
}
`
)

// insertion is a piece of text that a schema puts into a file. Around what is kept there are two, and so the text that is there keeps its order.
type insertion struct {
	at     int
	text   string
	number int
	opens  bool
	span   [2]int // what the mutant's form spans
}

// insertions are those of mutant number i.
func insertions(i int, m mutant, src string) [2]insertion {
	from, to := m.outer[0], m.outer[1]
	changed := src[from:m.from] + m.after + src[m.to:to]
	var open, shut string
	switch m.form {
	case condition:
		open, shut = fmt.Sprintf("(mutated(%d) && (%s) || !mutated(%d) && (", i, changed, i), "))"
	case statement:
		open, shut = fmt.Sprintf("if mutated(%d) { %s } else { ", i, changed), " }"
	case number:
		open, shut = fmt.Sprintf("mutantNumber(%d, %s, ", i, changed), ")"
	case failing:
		open, shut = fmt.Sprintf("func() error { if mutated(%d) { return %s }; return ", i, changed), " }()"
	}
	return [2]insertion{{from, open, i, true, m.outer}, {to, shut, i, false, m.outer}}
}

// weave returns a file with its mutants in it, and for each number where its text begins and ends there.
func (s *schema) weave(file string) (text string, where map[int][2]int) {
	src := s.texts[file]
	var all []insertion
	for i, m := range s.mutants {
		if m.file == file && !s.alone[i+1] {
			two := insertions(i+1, m, src)
			all = append(all, two[:]...)
		}
	}
	slices.SortStableFunc(all, func(a, b insertion) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.opens != b.opens: // what ends here ends before something else begins
			return map[bool]int{true: 1, false: -1}[a.opens]
		case a.opens && a.span[1] != b.span[1]:
			return b.span[1] - a.span[1]
		case a.opens:
			return a.number - b.number
		case a.span[0] != b.span[0]:
			return b.span[0] - a.span[0]
		}
		return b.number - a.number
	})
	var b strings.Builder
	where = map[int][2]int{}
	done := 0
	for _, in := range all {
		b.WriteString(src[done:in.at])
		done = in.at
		if in.opens {
			where[in.number] = [2]int{b.Len(), 0}
		}
		b.WriteString(in.text)
		if !in.opens {
			where[in.number] = [2]int{where[in.number][0], b.Len()}
		}
	}
	b.WriteString(src[done:])
	return b.String(), where
}

var (
	packageClause = regexp.MustCompile(`(?m)^package \w+$`)
	complaint     = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):(?:(\d+):)? `)
)

// settle builds the package, and sets those mutants aside that the compiler complains of, until it does not.
func (s *schema) settle(ctx context.Context, scratch string) (overlay string, err error) {
	for i, m := range s.mutants {
		if m.form == alone {
			s.alone[i+1] = true
		}
	}
	for {
		var edits []variant.Edit
		where := map[string]map[int][2]int{}
		woven := map[string]string{}
		for _, file := range slices.Sorted(maps.Keys(s.texts)) {
			woven[file], where[file] = s.weave(file)
			text := woven[file]
			if len(edits) == 0 {
				at := packageClause.FindStringIndex(text)[1]
				text = text[:at] + switchImports + text[at:] + fmt.Sprintf(switches, len(s.mutants))
				for i, w := range where[file] {
					where[file][i] = [2]int{w[0] + len(switchImports), w[1] + len(switchImports)}
				}
				woven[file] = text
			}
			edits = append(edits, variant.Edit{File: file, Old: s.texts[file], New: text})
		}
		if overlay, err = variant.Overlay(s.root, scratch, edits); err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", os.DevNull, "-tags="+tags, "-gcflags=-e", "-overlay", overlay, "./"+s.pkg)
		cmd.Dir = s.root
		out, err := cmd.CombinedOutput()
		if err == nil {
			return overlay, nil
		}
		before := s.countAlone()
		for _, c := range complaint.FindAllStringSubmatch(string(out), -1) {
			flat := strings.ReplaceAll(s.pkg, "/", "_") + "_" // the names that variant.Overlay gives to edited files
			file := s.pkg + "/" + strings.TrimPrefix(filepath.Base(c[1]), flat)
			line, _ := strconv.Atoi(c[2])
			from, to := offsetOf(woven[file], line), offsetOf(woven[file], line+1)
			if column, err := strconv.Atoi(c[3]); err == nil {
				s.setAside(where[file], from+column-1)
				continue
			}
			for i, w := range where[file] { // it is somewhere on the line
				s.alone[i] = s.alone[i] || from < w[1] && w[0] < to
			}
		}
		if s.countAlone() == before {
			return "", fmt.Errorf("the package with all mutants in it: %w: %s", err, out)
		}
	}
}

func (s *schema) countAlone() (n int) {
	for _, a := range s.alone {
		if a {
			n++
		}
	}
	return n
}

// setAside takes the mutant out whose text is the smallest around an offset, or the nearest before it if there is none.
func (s *schema) setAside(where map[int][2]int, at int) {
	best, size := 0, 0
	last, end := 0, 0
	for i, w := range where {
		if w[0] <= at && at < w[1] && (best == 0 || w[1]-w[0] < size) {
			best, size = i, w[1]-w[0]
		}
		if w[1] <= at && w[1] > end && !s.alone[i] {
			last, end = i, w[1]
		}
	}
	if best == 0 {
		best = last
	}
	if best != 0 {
		s.alone[best] = true
	}
}

func offsetOf(text string, line int) int {
	at := 0
	for range line - 1 {
		at += strings.IndexByte(text[at:], '\n') + 1
	}
	return at
}

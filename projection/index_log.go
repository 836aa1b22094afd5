package projection

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
	"opossum/internal/codec"
)

// The index log says which states there are. docs/format/readmodel.md is the page for readers of it. Its lines:
//
//	{"format":"opossum-readmodel","formatVersion":1,"name":"students","version":1,"query":"xxh64:...","store":"..."}   the first, and only that
//	{"key":"c1","position":42,"version":13,"created":"...","updated":"...","size":70,"tags":["student:7"]}           a state
//	{"key":"c1","position":50,"deleted":true}                                                                        there is none any more
//	{"checkpoint":60,"events":55,"checksum":"xxh64:..."}                                                             all lines above hold
//	{"session":"..."}                                                                                                who wrote what follows, see session
//
// A line holds from the next checkpoint line on. Before that it announces that the file of its key may be about to change. The checksum is over all bytes of the file before
// `,"checksum"`, so a checkpoint vouches for everything above it.
const (
	logName    = "index.jsonl"
	logFormat  = "opossum-readmodel"
	logVersion = 1

	lineSession    = `{"session":`
	lineCheckpoint = `{"checkpoint":`
)

// heading is the first line.
type heading struct {
	Format        string `json:"format"`
	FormatVersion int    `json:"formatVersion"`
	Identity
}

func appendHeading(b []byte, id Identity) []byte {
	line, _ := json.Marshal(heading{logFormat, logVersion, id}) // strings and a number
	return append(append(b, line...), '\n')
}

func appendInfo(b []byte, i Info) []byte {
	b = appendKey(append(b, '{'), i.Key, ":")
	b = strconv.AppendUint(append(b, `,"position":`...), uint64(i.Position), 10)
	b = strconv.AppendUint(append(b, `,"version":`...), i.Version, 10)
	b = appendTime(append(b, `,"created":`...), i.Created)
	b = appendTime(append(b, `,"updated":`...), i.Updated)
	b = strconv.AppendInt(append(b, `,"size":`...), int64(i.Size), 10)
	b = appendTags(append(b, `,"tags":[`...), i.Tags, ",")
	return append(b, "]}\n"...)
}

func appendDeletion(b []byte, key string, at dcb.Position) []byte {
	b = appendKey(append(b, '{'), key, ":")
	b = strconv.AppendUint(append(b, `,"position":`...), uint64(at), 10)
	return append(b, ",\"deleted\":true}\n"...)
}

func appendSession(b []byte, session string) []byte {
	return append(codec.AppendString(append(b, lineSession...), session), "}\n"...)
}

// appendCheckpoint appends a checkpoint line to b, lines that follow what sum has seen.
func appendCheckpoint(sum xxhash.Digest, b []byte, at Checkpoint) []byte {
	b = strconv.AppendUint(append(b, lineCheckpoint...), uint64(at.Position), 10)
	b = strconv.AppendUint(append(b, `,"events":`...), at.Events, 10)
	_, _ = sum.Write(b) // a hash does not fail
	return fmt.Appendf(b, ",\"checksum\":\"xxh64:%016x\"}\n", sum.Sum64())
}

// extent is a part of a log, from its start.
type extent struct {
	size  int64         // bytes
	lines int           // in them
	sum   xxhash.Digest // of them
}

func (e *extent) add(line []byte) {
	e.size += int64(len(line))
	e.lines += bytes.Count(line, []byte{'\n'})
	_, _ = e.sum.Write(line) // a hash does not fail
}

func newExtent() (e extent) {
	e.sum.Reset()
	return e
}

// change is what one line says of a key.
type change struct {
	info    Info // of a deletion only the key and the position
	deleted bool
}

// logged is what a log says.
type logged struct {
	id      Identity
	index   *Index
	tombs   map[string]dcb.Position // deletions above the checkpoint
	at      Checkpoint
	session string // the last one
	sound   extent // up to the last checkpoint line
	whole   extent // with the whole lines that follow it
	tail    []change
	rot     string // why whole ends where it does; "": there is nothing more, or the last line is cut short, as by a kill
}

// readLog takes a log apart. The error says why nothing in it can be used; it does not name the file.
func readLog(b []byte) (logged, error) {
	l := logged{index: NewIndex(), tombs: map[string]dcb.Position{}, whole: newExtent()}
	line := nextLine(b)
	var head heading
	if err := json.Unmarshal(line, &head); err != nil {
		return l, fmt.Errorf("no first line: %w", err)
	}
	if head.Format != logFormat || head.FormatVersion != logVersion {
		return l, fmt.Errorf("format %q version %d, this is %q version %d", head.Format, head.FormatVersion, logFormat, logVersion)
	}
	if l.id = head.Identity; !bytes.Equal(appendHeading(nil, l.id), line) {
		return l, errors.New("damaged first line")
	}
	for {
		l.whole.add(line)
		b = b[len(line):]
		if line = nextLine(b); line == nil {
			break
		}
		if !l.take(line) {
			l.rot = fmt.Sprintf("damaged line at offset %d", l.whole.size)
			break
		}
	}
	if l.sound.size == 0 {
		return l, errors.New("no checkpoint")
	}
	return l, nil
}

// nextLine returns the first line with its end, nil if there is no end.
func nextLine(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1]
	}
	return nil
}

// take takes in one more line, false if it is none.
func (l *logged) take(line []byte) bool {
	switch {
	case bytes.HasPrefix(line, []byte(lineCheckpoint)):
		return l.checkpoint(line)
	case bytes.HasPrefix(line, []byte(lineSession)):
		c := cutter{b: line}
		c.must(lineSession)
		session := c.text()
		c.must("}\n")
		if !c.done() {
			return false
		}
		l.session = session
		return true
	}
	ch, ok := parseChange(line)
	if ok {
		l.tail = append(l.tail, ch)
	}
	return ok
}

func parseChange(line []byte) (ch change, ok bool) {
	c := cutter{b: line}
	c.must("{")
	i := &ch.info
	i.Key = c.key(":")
	c.must(`,"position":`)
	i.Position = dcb.Position(c.number())
	if c.has(",\"deleted\":true}\n") {
		ch.deleted = true
		return ch, c.done()
	}
	c.must(`,"version":`)
	i.Version = c.number()
	c.must(`,"created":`)
	i.Created = c.time()
	c.must(`,"updated":`)
	i.Updated = c.time()
	c.must(`,"size":`)
	i.Size = int(c.number())
	c.must(`,"tags":[`)
	i.Tags = c.tags(",")
	c.must("}\n")
	return ch, c.done()
}

// checkpoint applies what came since the last one, if the sum is right.
func (l *logged) checkpoint(line []byte) bool {
	c := cutter{b: line}
	c.must(lineCheckpoint)
	at := Checkpoint{Position: dcb.Position(c.number())}
	c.must(`,"events":`)
	at.Events = c.number()
	if c.failed || !bytes.Equal(appendCheckpoint(l.whole.sum, nil, at), line) {
		return false
	}
	for _, ch := range l.tail {
		delete(l.tombs, ch.info.Key)
		if ch.deleted {
			l.index.Remove(ch.info.Key)
			l.tombs[ch.info.Key] = ch.info.Position
		} else {
			l.index.Put(ch.info)
		}
	}
	l.tail, l.at = nil, at
	l.sound = l.whole
	l.sound.add(line)
	for key, p := range l.tombs {
		if p <= at.Position {
			delete(l.tombs, key)
		}
	}
	return true
}

// compact returns the shortest log of what lives: by key, with one checkpoint, and no session. Equal read models have equal ones.
func compact(id Identity, x *Index, tombs map[string]dcb.Position, at Checkpoint) []byte {
	b := appendHeading(nil, id)
	for _, i := range x.Where(func(Info) bool { return true }) {
		b = appendInfo(b, i)
	}
	for _, key := range sortedKeys(tombs) {
		b = appendDeletion(b, key, tombs[key])
	}
	return appendCheckpoint(newExtent().sum, b, at)
}

package harness

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"opossum"
)

const recordsBuffer = 1 << 20

// writeRecords writes the history to a new file at path: the records of [AppendRecord], nothing between them.
func (h History) writeRecords(path string) (err error) {
	file, err := createFile(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriterSize(file, recordsBuffer)
	var record []byte
	for events := range h.appends() {
		for i := range events {
			record = AppendRecord(record[:0], &events[i])
			if _, err := w.Write(record); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// eachRecord calls use with the events of a file of records, in order, until it returns false. Data and Tags of an event
// are valid during its call only: most events of a scan are looked at and dropped.
func eachRecord(path string, use func(e opossum.SequencedEvent) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := decodeRecords(bufio.NewReaderSize(file, recordsBuffer), use); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func decodeRecords(r io.Reader, use func(e opossum.SequencedEvent) bool) error {
	d := recordDecoder{r: r}
	for p := opossum.Position(1); ; p++ {
		switch e, err := d.next(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("record %d: %w", p, err)
		case !use(opossum.SequencedEvent{Position: p, Event: e}):
			return nil
		}
	}
}

// recordDecoder reads one record after the other and uses its memory again. It allocates once an event, for its strings.
type recordDecoder struct {
	r       io.Reader
	header  [recordHeader]byte
	payload []byte
	spans   [][2]int
	tags    []opossum.Tag
}

var errDamagedRecord = errors.New("damaged")

// next returns the next event. The error is io.EOF after the last.
func (d *recordDecoder) next() (opossum.Event, error) {
	if _, err := io.ReadFull(d.r, d.header[:]); err != nil {
		return opossum.Event{}, err
	}
	n := int(binary.LittleEndian.Uint32(d.header[:]))
	if n > recordsBuffer {
		return opossum.Event{}, errDamagedRecord
	}
	d.payload = slices.Grow(d.payload[:0], n)[:n]
	if _, err := io.ReadFull(d.r, d.payload); err != nil {
		return opossum.Event{}, errors.Join(errDamagedRecord, err)
	}
	if xxhash.Sum64(d.payload) != binary.LittleEndian.Uint64(d.header[4:]) {
		return opossum.Event{}, errDamagedRecord
	}
	return d.decode(), nil
}

// DecodeRecord returns the event of a record that [AppendRecord] has made of an event without ID and metadata. Its Data shares record's memory.
func DecodeRecord(record []byte) (opossum.Event, error) {
	if len(record) < recordHeader || xxhash.Sum64(record[recordHeader:]) != binary.LittleEndian.Uint64(record[4:]) {
		return opossum.Event{}, errDamagedRecord
	}
	d := recordDecoder{payload: record[recordHeader:]}
	return d.decode(), nil
}

// decode is the inverse of [AppendRecord] for the workload's events, which have no ID and no metadata. The checksum was
// right, so lengths are believed.
func (d *recordDecoder) decode() opossum.Event {
	seconds, nanoseconds := binary.LittleEndian.Uint64(d.payload[1:]), binary.LittleEndian.Uint32(d.payload[9:])
	head := d.payload[1+8+4:]
	at := 0
	number := func() int {
		n, size := binary.Uvarint(head[at:])
		at += size
		return int(n)
	}
	d.spans = d.spans[:0]
	span := func() {
		n := number()
		d.spans = append(d.spans, [2]int{at, at + n})
		at += n
	}
	span() // the type
	for range number() {
		span()
	}
	number() // of metadata: none
	text := string(head[:at])
	d.tags = d.tags[:0]
	for _, s := range d.spans[1:] {
		d.tags = append(d.tags, opossum.Tag(text[s[0]:s[1]]))
	}
	return opossum.Event{
		Type: text[d.spans[0][0]:d.spans[0][1]], Tags: d.tags, Data: head[at:],
		Time: time.Unix(int64(seconds), int64(nanoseconds)).UTC(),
	}
}

// kept copies what is valid only for a while.
func kept(e opossum.SequencedEvent) opossum.SequencedEvent {
	e.Event.Tags, e.Event.Data = slices.Clone(e.Event.Tags), bytes.Clone(e.Event.Data)
	return e
}

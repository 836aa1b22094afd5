package harness

import (
	"cmp"
	"math/rand/v2"
	"strconv"
	"sync"

	"opossum"
)

// Workload is the one canonical load: orders of customers in regions. Each event has a type out of four, JSON data of
// exactly Bytes bytes, no ID, no metadata, no time (so that the store reads its clock), and three tags: one that no other
// event has, one of 1,000, one of 20. The same seed gives the same events.
type Workload struct {
	Seed  uint64
	Bytes int // length of Event.Data; at least 36, so that the JSON around the text has room
	Tags  int // of an event: the first so many of the three; 0: all
	// School makes the second tag a course, one of 1,000, and the third a student, one of 100,000: what scale is measured on.
	School bool
}

// Default is the load of every published table.
var Default = Workload{Seed: 1, Bytes: 256}

const (
	customers = 1_000
	regions   = 20
	courses   = 1_000
	students  = 100_000
)

var (
	types        = [...]string{"OrderPlaced", "OrderPaid", "OrderShipped", "OrderReturned"}
	customerTags = numberedTags("customer:", customers)
	regionTags   = numberedTags("region:", regions)
	filler       = letters(1 << 16)
)

// schoolTags are made when they are needed: a process whose memory is measured should have no use for them.
var schoolTags = sync.OnceValue(func() [2][]opossum.Tag {
	return [2][]opossum.Tag{numberedTags("course:", courses), numberedTags(studentPrefix, students)}
})

const studentPrefix = "student:"

func studentTag(n int) opossum.Tag { return opossum.Tag(studentPrefix + strconv.Itoa(n)) }

func numberedTags(prefix string, n int) []opossum.Tag {
	tags := make([]opossum.Tag, n)
	for i := range tags {
		tags[i] = opossum.Tag(prefix + strconv.Itoa(i))
	}
	return tags
}

// letters returns random text that no file system compresses to nothing and that needs no escape in JSON. All events cut
// theirs from one such text, because drawing every letter anew would cost more than appending it.
func letters(n int) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(0, 0))
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[random.IntN(len(alphabet))]
	}
	return text
}

// Stream is the endless sequence of events of one writer. It is not safe for concurrent use.
type Stream struct {
	bytes  int
	kept   int // tags of each event
	random *rand.Rand
	shared [2][]opossum.Tag // out of which the second and the third tag are drawn
	prefix string           // of the unique tag; differs between writers
	next   uint64
	steps  uint64 // of a load that does not always do the same
	events []opossum.Event
	data   []byte
	tags   []opossum.Tag
}

// Stream returns the sequence of the given writer; sequences of different writers share no unique tag.
func (w Workload) Stream(writer int) *Stream {
	shared := [2][]opossum.Tag{customerTags, regionTags}
	if w.School {
		shared = schoolTags()
	}
	return &Stream{
		bytes:  w.Bytes,
		kept:   cmp.Or(w.Tags, 3),
		shared: shared,
		random: rand.New(rand.NewPCG(w.Seed, uint64(writer))),
		prefix: ownTag(writer),
	}
}

// ownTag is how the tags begin that only events of the given writer have; their number follows.
func ownTag(writer int) string { return "order:" + strconv.Itoa(writer) + "-" }

// Next returns the next n events. They are valid until the following call, which uses their memory again: making events
// must cost little, or the harness would measure itself. Stores may not keep what they are given, so this is fair.
func (s *Stream) Next(n int) []opossum.Event {
	if n > cap(s.events) {
		s.events = make([]opossum.Event, n)
		s.data = make([]byte, n*s.bytes)
		s.tags = make([]opossum.Tag, n*3)
	}
	events := s.events[:n]
	for i := range events {
		events[i] = s.event(s.tags[i*3:i*3+3:i*3+3], s.data[i*s.bytes:(i+1)*s.bytes:(i+1)*s.bytes])
	}
	return events
}

func (s *Stream) event(tags []opossum.Tag, data []byte) opossum.Event {
	r := s.random.Uint64()
	var unique [64]byte
	tags[0] = opossum.Tag(strconv.AppendUint(append(unique[:0], s.prefix...), s.next, 10))
	tags[1] = s.shared[0][r%uint64(len(s.shared[0]))]
	tags[2] = s.shared[1][(r>>16)%uint64(len(s.shared[1]))]
	s.fill(data, int((r>>32)%uint64(len(filler))))
	s.next++
	return opossum.Event{Type: types[(r>>24)%uint64(len(types))], Tags: tags[:s.kept], Data: data}
}

// fill writes {"n":NUMBER,"note":"TEXT"} of exactly len(data) bytes; the text begins at from in the filler and wraps around.
func (s *Stream) fill(data []byte, from int) {
	const foot = `"}`
	head := append(data[:0], `{"n":`...)
	head = strconv.AppendUint(head, s.next, 10)
	head = append(head, `,"note":"`...)
	text := data[len(head) : len(data)-len(foot)]
	for len(text) > 0 {
		text = text[copy(text, filler[from:]):]
		from = 0
	}
	copy(data[len(data)-len(foot):], foot)
}

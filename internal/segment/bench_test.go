package segment

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

const benchEvents = 200_000

// benchTerms are the terms of events with one of 20 types, a tag that no other event has, one that few have, and one of
// 1,000. wide names what is unique by a UUID, the longest names in use.
func benchTerms(events int, wide bool) model {
	m := model{}
	name := func(kind string, n int) string {
		if !wide {
			return fmt.Sprintf("%s:%d", kind, n)
		}
		h := fnv.New128a()
		_, _ = fmt.Fprint(h, kind, n)
		return kind + ":" + uuid.UUID(h.Sum(nil)).String()
	}
	for i := range events {
		p := dcb.Position(i + 1)
		for _, key := range []string{
			fmt.Sprintf("\x01EventType%d", i%20), "\x02" + name("order", i), "\x02" + name("session", i*7919%events*4/5), fmt.Sprintf("\x02course:%d", i*31%1000),
		} {
			m[key] = append(m[key], p)
		}
	}
	return m
}

// lists returns the keys in order, and the list of each.
func (m model) lists() (keys []string, lists [][]dcb.Position) {
	keys = m.keys()
	for _, key := range keys {
		lists = append(lists, m[key])
	}
	return keys, lists
}

var widths = []struct {
	name string
	wide bool
}{{"numbers", false}, {"uuids", true}}

func buildBench(b *testing.B, dir string, r Range, keys []string, lists [][]dcb.Position) {
	w, err := Create(dir, testSeed, r)
	require.NoError(b, err)
	for i, key := range keys {
		if err = w.Term(Kind(key[0]), key[1:]); err == nil {
			err = w.Positions(lists[i])
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, w.Commit())
}

// BenchmarkBuild is the price of a segment by the event, sorting apart: encoding, writing, syncing.
func BenchmarkBuild(b *testing.B) {
	for _, c := range widths {
		b.Run(c.name, func(b *testing.B) {
			keys, lists := benchTerms(benchEvents, c.wide).lists()
			r, dir := Range{1, benchEvents}, b.TempDir()
			b.ResetTimer()
			for range b.N {
				buildBench(b, dir, r, keys, lists)
			}
			b.StopTimer()
			s, err := Open(dir, testSeed, r)
			require.NoError(b, err)
			b.ReportMetric(float64(benchEvents)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(s.Size())/benchEvents, "B/event")
			require.NoError(b, s.Close())
		})
	}
}

// BenchmarkMerge is the price of eight segments made one, by the event.
func BenchmarkMerge(b *testing.B) {
	m := benchTerms(benchEvents, false)
	dir := b.TempDir()
	var inputs []*Segment
	for i := range dcb.Position(8) {
		r := Range{i*benchEvents/8 + 1, (i + 1) * benchEvents / 8}
		build(b, dir, r, m.part(r))
		s, err := Open(dir, testSeed, r)
		require.NoError(b, err)
		inputs = append(inputs, s)
	}
	b.ResetTimer()
	for range b.N {
		_, err := Merge(b.Context(), dir, testSeed, inputs)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(benchEvents)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	for _, s := range inputs {
		require.NoError(b, s.Close())
	}
}

func benchSegment(b *testing.B, wide bool) (*Segment, []string) {
	keys, lists := benchTerms(benchEvents, wide).lists()
	dir, r := b.TempDir(), Range{1, benchEvents}
	buildBench(b, dir, r, keys, lists)
	s, err := Open(dir, testSeed, r)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s, keys
}

// BenchmarkFind looks up terms in an order without locality, and asks each for its first position.
func BenchmarkFind(b *testing.B) {
	for _, c := range widths {
		s, keys := benchSegment(b, c.wide)
		absent := slices.Clone(keys)
		for i := range absent {
			absent[i] = absent[i][:len(absent[i])-1] + "?"
		}
		for name, keys := range map[string][]string{"present": keys, "absent": absent} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				for i := range keys { // verify everything
					_, _ = s.Find(Tag, keys[i][1:])
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					key := keys[i*7919%len(keys)]
					l, err := s.Find(Kind(key[0]), key[1:])
					if err == nil {
						_, err = l.FirstAfter(0, benchEvents)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkCursor walks a list of 10,000 positions; the unit is one position.
func BenchmarkCursor(b *testing.B) {
	s, _ := benchSegment(b, false)
	l, err := s.Find(Type, "EventType7")
	require.NoError(b, err)
	require.EqualValues(b, benchEvents/20, l.Len())
	for _, backwards := range []bool{false, true} {
		b.Run(fmt.Sprintf("backwards=%v", backwards), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; {
				c := l.Cursor(0, benchEvents, backwards)
				for p, ok := c.Peek(); ok && i < b.N; p, ok = c.Peek() {
					if backwards {
						c.Seek(p - 1)
					} else {
						c.Seek(p + 1)
					}
					i++
				}
			}
		})
	}
}

// BenchmarkFirstAfter asks a list of 10,000 positions at random places.
func BenchmarkFirstAfter(b *testing.B) {
	s, _ := benchSegment(b, false)
	l, err := s.Find(Type, "EventType7")
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := l.FirstAfter(dcb.Position(i*7919%benchEvents), benchEvents); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s, _ := benchSegment(b, false)
	dir := strings.TrimSuffix(s.Path(), Name(s.Range()))
	for _, ask := range []bool{false, true} {
		b.Run(fmt.Sprintf("ask=%v", ask), func(b *testing.B) {
			for range b.N {
				s, err := Open(dir, testSeed, s.Range())
				if err == nil && ask {
					_, err = s.Find(Tag, "order:77777")
				}
				if err != nil {
					b.Fatal(err)
				}
				_ = s.Close()
			}
		})
	}
}

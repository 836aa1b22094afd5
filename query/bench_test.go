package query

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
)

// benchStore holds n events of 256 bytes with three tags, in the log, in loose files or in packs: a quarter of them of each type, a student's every
// hundredth.
func benchStore(b *testing.B, n int, where string) *store {
	s := newStore(b)
	rnd := rand.NewChaCha8([32]byte{})
	const group = 10 // of which every append takes one
	for i := 0; i < n; i += group {
		events := make([]dcb.Event, group)
		for j := range events {
			data := make([]byte, 256) // of which zstd saves half, as of much JSON
			_, _ = rnd.Read(data)
			for k := range data {
				data[k] = 'a' + data[k]%16
			}
			events[j] = dcb.Event{Type: fmt.Sprintf("EventOfType%d", (i+j)%4), Data: data, Tags: []dcb.Tag{
				dcb.Tag(fmt.Sprintf("student:%d", (i+j)%100)), dcb.Tag(fmt.Sprintf("course:%d", (i+j)%10)), dcb.Tag(fmt.Sprintf("unique:%d", i+j)),
			}}
		}
		s.stage(events...)
	}
	s.publish()
	require.NoError(b, s.index.Seal(s.next-1))
	if where == "packs" {
		require.NoError(b, s.files.Bind(s.seed))
		for first := dcb.Position(1); first < s.next; first += eventfile.ShardPositions {
			w, err := s.files.Pack(first)
			require.NoError(b, err)
			for p := first; p < first+eventfile.ShardPositions; p++ {
				e, err := s.At(p)
				require.NoError(b, err)
				rec := codec.AppendRecord(nil, e.Event)
				codec.Stamp(rec, s.seed, p)
				require.NoError(b, w.Add(rec))
			}
			require.NoError(b, w.Commit())
		}
		s.places.Reset(s.next - 1)
	}
	if where == "loose" {
		for p := dcb.Position(1); p < s.next; p++ {
			e, err := s.At(p)
			require.NoError(b, err)
			require.NoError(b, s.files.Write(p, codec.AppendText(nil, e)))
		}
		s.places.Reset(s.next - 1)
	}
	return s
}

// BenchmarkRead is what an event costs that is read, by where its body is and how many matching ones there are.
func BenchmarkRead(b *testing.B) {
	for where, events := range map[string]int{"log": 100_000, "loose": 10_000, "packs": 100_000} {
		b.Run(where, func(b *testing.B) {
			s := benchStore(b, events, where)
			for _, c := range []struct {
				name string
				q    dcb.Query
				o    dcb.ReadOptions
			}{
				{"all", dcb.AllEvents(), dcb.ReadOptions{}},
				{"backwards", dcb.AllEvents(), dcb.ReadOptions{Backwards: true}},
				{"type", dcb.ByTypes("EventOfType1"), dcb.ReadOptions{}},
				{"student", dcb.ByTags("student:17"), dcb.ReadOptions{Limit: 100}},
				{"last", dcb.ByTags("course:7"), dcb.ReadOptions{Backwards: true, Limit: 1}},
				{"unique", dcb.ByTags("unique:4711"), dcb.ReadOptions{}},
			} {
				b.Run(c.name, func(b *testing.B) {
					b.ReportAllocs()
					read := 0
					for b.Loop() {
						v, err := s.Read(context.Background(), c.q, c.o)
						require.NoError(b, err)
						for _, err := range v.All() {
							if err != nil {
								b.Fatal(err)
							}
							read++
						}
					}
					b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
				})
			}
		})
	}
}

// BenchmarkFollow is what a subscriber pays for an event that comes alone.
func BenchmarkFollow(b *testing.B) {
	s := newStore(b)
	e := dcb.Event{Type: "T", Data: make([]byte, 256), Tags: []dcb.Tag{"student:1", "course:1"}}
	s.add(e)
	sub, err := s.Subscribe(context.Background(), dcb.ByTypes("T"), 0)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() { // the same event again and again: only what the subscription does is counted
		sub.at.Store(0)
		_, err := sub.upTo(1, func(dcb.SequencedEvent, error) bool { return true })
		require.NoError(b, err)
	}
}

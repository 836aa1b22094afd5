package index

import (
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"opossum/dcb"
)

const placeChunk = 4096

// Place says where in the log the record of an event is.
type Place struct {
	Gen uint32
	Off uint32
	Len uint32
}

// Places maps the positions whose bodies are in the log to their places. One goroutine at a time sets, one trims, any
// number look up without a lock: a place is set before the position becomes visible.
type Places struct {
	mu  sync.Mutex // for changes of the directory
	dir atomic.Pointer[placeDir]
}

type placeDir struct {
	from   dcb.Position // position of the first place of the first chunk
	chunks []*[placeChunk]Place
}

// NewPlaces holds places of positions above base.
func NewPlaces(base dcb.Position) *Places {
	pl := new(Places)
	pl.dir.Store(&placeDir{from: base + 1})
	return pl
}

// Set remembers the place of p. REQUIRES: one goroutine at a time, ascending positions above the base.
func (pl *Places) Set(p dcb.Position, at Place) {
	d := pl.dir.Load()
	if int((p-d.from)/placeChunk) >= len(d.chunks) {
		d = pl.grow()
	}
	i := p - d.from
	d.chunks[i/placeChunk][i%placeChunk] = at
}

func (pl *Places) grow() *placeDir {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	d := pl.dir.Load()
	next := &placeDir{from: d.from, chunks: append(slices.Clone(d.chunks), new([placeChunk]Place))}
	pl.dir.Store(next)
	return next
}

// Reset forgets all places: those set from now on are above base. REQUIRES: as Set; everything up to base is filed.
func (pl *Places) Reset(base dcb.Position) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.dir.Store(&placeDir{from: base + 1})
}

// Get returns the place of p; ok is false if it is not known: trimmed, or never in the log.
func (pl *Places) Get(p dcb.Position) (at Place, ok bool) {
	d := pl.dir.Load()
	if p < d.from {
		return Place{}, false
	}
	i := p - d.from
	if int(i/placeChunk) >= len(d.chunks) {
		return Place{}, false
	}
	at = d.chunks[i/placeChunk][i%placeChunk]
	return at, at.Len != 0
}

// Bytes is about what the places take in memory. Safe for concurrent use.
func (pl *Places) Bytes() int64 {
	return int64(len(pl.dir.Load().chunks)) * int64(unsafe.Sizeof([placeChunk]Place{}))
}

// Trim forgets the leading chunks whose places are all in generations before gen.
func (pl *Places) Trim(gen uint64) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	d := pl.dir.Load()
	n := 0
	for n < len(d.chunks)-1 && uint64(d.chunks[n][placeChunk-1].Gen) < gen {
		n++
	}
	if n > 0 {
		pl.dir.Store(&placeDir{from: d.from + dcb.Position(n*placeChunk), chunks: slices.Clone(d.chunks[n:])})
	}
}

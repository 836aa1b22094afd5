package eventfile

import (
	"container/list"
	"sync"

	"opossum/dcb"
)

// blocks is a bounded cache of decompressed blocks: what was used last stays. A block takes microseconds to read again, so one lock for all is
// enough, and there is nothing finer in it.
type blocks struct {
	mu    sync.Mutex
	most  int64 // bytes; a block that is larger than a quarter of that is not kept
	bytes int64
	used  *list.List // of *block, the last used one first
	at    map[blockID]*list.Element
	stats struct{ hits, misses uint64 }
}

// blockID is a block of the pack of a shard; a pack that was replaced has another version, and its blocks may end elsewhere.
type blockID struct {
	shard      dcb.Position
	version, i int
}

type block struct {
	id  blockID
	raw []byte // shared by all who read it: nobody writes to it
}

// blockOverhead is about what the cache takes for a block beside its bytes.
const blockOverhead = 160

func newBlocks(most int64) *blocks {
	return &blocks{most: most, used: list.New(), at: make(map[blockID]*list.Element)}
}

// leastCache is what the cache has until somebody says more.
const leastCache = 1 << 20

// bound sets the most bytes.
func (c *blocks) bound(most int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = most
	c.shrink()
}

// shrink drops what was not used for longest. REQUIRES: c is locked.
func (c *blocks) shrink() {
	for c.bytes > c.most {
		c.drop(c.used.Back())
	}
}

func (c *blocks) get(id blockID) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[id]
	if !ok {
		c.stats.misses++
		return nil, false
	}
	c.stats.hits++
	c.used.MoveToFront(e)
	return e.Value.(*block).raw, true
}

func (c *blocks) put(id blockID, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[id]; ok || int64(cap(raw))+blockOverhead > c.most/4 {
		return
	}
	c.at[id] = c.used.PushFront(&block{id, raw})
	c.bytes += int64(cap(raw)) + blockOverhead
	c.shrink()
}

// drop takes one out. REQUIRES: c is locked.
func (c *blocks) drop(e *list.Element) {
	b := c.used.Remove(e).(*block)
	delete(c.at, b.id)
	c.bytes -= int64(cap(b.raw)) + blockOverhead
}

// forget drops all blocks of a shard, whose pack was replaced.
func (c *blocks) forget(shard dcb.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.used.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*block).id.shard == shard {
			c.drop(e)
		}
		e = next
	}
}

package projection

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"opossum/dcb"
)

// Info is what the index knows of a state.
type Info struct {
	Key      string
	Position dcb.Position // of the last event that it includes
	Created  time.Time    // the time of its first event
	Updated  time.Time    // the time of its last event
	Version  uint64       // how many events it includes
	Size     int          // bytes of its JSON
	Tags     []dcb.Tag    // shared: not to be changed
}

// Index finds states by their tags and by what is known of them, in memory: some 250 bytes for each state, and 50 for each of its tags, beside the texts. It is derived from the records. Safe for concurrent use.
type Index struct {
	mu    sync.RWMutex
	infos map[string]Info
	keys  map[dcb.Tag]keySet
}

// keySet is a set of keys. Most tags are those of one state, or of a few: these are in a slice, which takes a tenth of the memory of a map.
type keySet struct {
	few  []string
	many map[string]struct{} // nil: they are in few
}

const fewKeys = 16

func (s keySet) len() int { return len(s.few) + len(s.many) }

func (s keySet) has(key string) bool {
	_, has := s.many[key]
	return has || slices.Contains(s.few, key)
}

func (s keySet) all(yield func(key string) bool) {
	for _, key := range s.few {
		if !yield(key) {
			return
		}
	}
	for key := range s.many {
		if !yield(key) {
			return
		}
	}
}

// with returns the set with a key that it does not have; s is not used any more.
func (s keySet) with(key string) keySet {
	if s.many == nil && len(s.few) < fewKeys {
		s.few = append(s.few, key)
		return s
	}
	if s.many == nil {
		s.many = make(map[string]struct{}, 2*fewKeys)
		for _, k := range s.few {
			s.many[k] = struct{}{}
		}
		s.few = nil
	}
	s.many[key] = struct{}{}
	return s
}

// without returns the set without a key; s is not used any more.
func (s keySet) without(key string) keySet {
	if i := slices.Index(s.few, key); i >= 0 {
		s.few = slices.Delete(s.few, i, i+1)
	}
	delete(s.many, key)
	return s
}

// NewIndex returns an empty one.
func NewIndex() *Index {
	return &Index{infos: map[string]Info{}, keys: map[dcb.Tag]keySet{}}
}

// InfoOf is what the index keeps of a record that is not deleted.
func InfoOf(r Record) Info {
	return Info{r.Key, r.Position, r.Created, r.Updated, r.Version, len(r.State), r.Tags}
}

// Put takes an info in the place of what was known of its key.
func (x *Index) Put(i Info) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(i.Key)
	x.infos[i.Key] = i
	for _, t := range i.Tags {
		if set := x.keys[t]; !set.has(i.Key) {
			x.keys[t] = set.with(i.Key)
		}
	}
}

// Remove forgets a key.
func (x *Index) Remove(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(key)
}

func (x *Index) remove(key string) {
	for _, t := range x.infos[key].Tags {
		if set := x.keys[t].without(key); set.len() > 0 {
			x.keys[t] = set
		} else {
			delete(x.keys, t)
		}
	}
	delete(x.infos, key)
}

// Get returns what is known of a key.
func (x *Index) Get(key string) (Info, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	i, ok := x.infos[key]
	return i, ok
}

// Len returns how many states there are.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.infos)
}

// Where returns those for which keep holds, by key. keep must not use the index.
func (x *Index) Where(keep func(Info) bool) []Info {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []Info
	for _, i := range x.infos {
		if keep(i) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Tagged returns those that have all of the tags, by key; none without tags.
func (x *Index) Tagged(tags ...dcb.Tag) []Info {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(tags) == 0 {
		return nil
	}
	least := slices.MinFunc(tags, func(a, b dcb.Tag) int { return cmp.Compare(x.keys[a].len(), x.keys[b].len()) })
	var out []Info
	for key := range x.keys[least].all {
		if !slices.ContainsFunc(tags, func(t dcb.Tag) bool { return !x.keys[t].has(key) }) {
			out = append(out, x.infos[key])
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return out
}

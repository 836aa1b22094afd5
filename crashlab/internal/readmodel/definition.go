package readmodel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"opossum"
	"opossum/internal/workload"
	"opossum/projection"
)

// State says which events it was made of, in the order in which they were applied: one that is applied twice, left out or too late shows.
type State struct {
	Definition int                `json:"definition"` // the version of the definition
	Seen       []opossum.Position `json:"seen"`
	Related    []opossum.Position `json:"related,omitempty"` // what the last event was related to
}

// Names are those of the read models.
const (
	Lists   = "lists"   // one list for each tag of the kind "k:0", under a key that is no good file name
	Lives   = "lives"   // of which some events are the last
	Appends = "appends" // with related events and tags
)

// names are all of them. No two have a key in common.
var names = []string{Lists, Lives, Appends}

// definitions returns the read models of the events of package workload, by name.
func definitions(version int) map[string]projection.Definition[State] {
	seen := func(s *State, e projection.Event) *State {
		if s == nil {
			s = &State{}
		}
		s.Definition, s.Seen, s.Related = version, append(s.Seen, e.Position), nil
		for _, r := range e.Related {
			s.Related = append(s.Related, r.Position)
		}
		return s
	}
	all := map[string]projection.Definition[State]{}
	for _, d := range []projection.Definition[State]{
		{
			Name: Lists, Query: opossum.AllEvents(),
			Key:   func(e opossum.SequencedEvent) string { return awkward[number(kOf(e))%len(awkward)] },
			Apply: func(s *State, e projection.Event) (*State, error) { return seen(s, e), nil },
		},
		{
			Name: Lives, Query: opossum.ByTypes("T0", "T1", "T2"),
			Key: func(e opossum.SequencedEvent) string { return fmt.Sprintf("life-%d", number(kOf(e))%9) },
			Apply: func(s *State, e projection.Event) (*State, error) {
				if e.Event.Type == "T0" {
					return nil, nil
				}
				return seen(s, e), nil
			},
			Tags: func(s State) []opossum.Tag { return []opossum.Tag{"alive", tag("events", len(s.Seen)%3), "alive"} },
		},
		{
			Name: Appends, Query: opossum.ByTypes("T1", "T3", "T4"),
			Key: func(e opossum.SequencedEvent) string {
				id, _, _ := workload.Origin(e.Event.ID)
				return fmt.Sprintf("append-%d", id%40)
			},
			Related: func(e opossum.SequencedEvent) (q opossum.Query) {
				if e.Event.Type == "T1" {
					return q
				}
				return opossum.Match(opossum.QueryItem{Types: []string{"T3"}, Tags: []opossum.Tag{kOf(e)}})
			},
			Apply: func(s *State, e projection.Event) (*State, error) {
				if len(e.Related)%7 == 6 {
					return nil, nil
				}
				return seen(s, e), nil
			},
			Tags: func(s State) []opossum.Tag {
				return []opossum.Tag{tag("related", len(s.Related)%4), tag("last", int(s.Seen[len(s.Seen)-1]%5))}
			},
		},
	} {
		d.Version = version
		all[d.Name] = d
	}
	return all
}

// awkward are keys of all sorts, and none.
var awkward = []string{
	"", "k", "K", "..", ".hidden", "con", "a/b\\c", "\xff not UTF-8", "100%41", "index.jsonl", strings.Repeat("long ", 60),
}

func kOf(e opossum.SequencedEvent) opossum.Tag {
	i := slices.IndexFunc(e.Event.Tags, func(t opossum.Tag) bool { return strings.HasPrefix(string(t), "k:") })
	return e.Event.Tags[i]
}

func number(t opossum.Tag) int {
	_, digits, _ := strings.Cut(string(t), ":")
	n, err := strconv.Atoi(digits)
	if err != nil {
		panic(err) // package workload writes numbers
	}
	return n
}

func tag(kind string, n int) opossum.Tag { return opossum.Tag(fmt.Sprintf("%s:%d", kind, n)) }

// Plan is how an owner keeps the read models.
type Plan struct {
	Version int                // of the definitions
	AtStart projection.AtStart // the first time; when they are closed and opened again, any
	Budget  int64              // projection.Options.BudgetBytes: small ones make many checkpoints; 0: the default
	Pieces  bool               // what is saved at once is saved in pieces of any size, as rebuilds of many states do
	Fails   bool               // functions of the definitions fail now and then, when they have changed what they were given
	Seed    uint64
}

// DrawPlan returns a random plan, of this version or, now and then, of a later one.
func DrawPlan(r *rand.Rand, version int) Plan {
	if r.IntN(5) == 0 {
		version++
	}
	p := Plan{Version: version, Budget: []int64{0, 1, 1, 50_000}[r.IntN(4)], Pieces: r.IntN(3) > 0, Fails: r.IntN(4) == 0, Seed: r.Uint64()}
	if r.IntN(4) == 0 {
		p.AtStart = projection.RebuildAll
	}
	return p
}

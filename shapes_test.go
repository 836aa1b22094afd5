package opossum

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/eventfile"
)

// With the tag smallshards a store of a few dozen events has packs. Then the tests run over stores of many shapes: an engine that is opened without a word about
// LooseEvents gets one of these.
var looseEvents = []int{KeepLoose, 1, 40, 200, DefaultLooseEvents}

// smallShards: this binary was built with the tag.
const smallShards = eventfile.ShardPositions < 1000

// keepLoose are the options of tests that look at the files of single events.
var keepLoose = &Options{LooseEvents: KeepLoose}

var shapes = struct {
	sync.Mutex
	of map[testing.TB]*rand.Rand
}{of: map[testing.TB]*rand.Rand{}}

// someLoose draws LooseEvents for an engine of a test, from OPOSSUM_TEST_SHAPES if that is set, else from a new seed, which it logs. A benchmark has always the same.
func someLoose(t testing.TB) int {
	if _, ok := t.(*testing.T); !ok {
		return DefaultLooseEvents
	}
	shapes.Lock()
	defer shapes.Unlock()
	r, ok := shapes.of[t]
	if !ok {
		seed := rand.Uint64()
		if s := os.Getenv("OPOSSUM_TEST_SHAPES"); s != "" {
			var err error
			seed, err = strconv.ParseUint(s, 10, 64)
			require.NoError(t, err)
		}
		t.Logf("OPOSSUM_TEST_SHAPES=%d", seed)
		r = rng(seed)
		shapes.of[t] = r
		t.Cleanup(func() {
			shapes.Lock()
			defer shapes.Unlock()
			delete(shapes.of, t)
		})
	}
	return looseEvents[r.IntN(len(looseEvents))]
}

// repack packs what e has, or unpacks it if that is what e can do.
func repack(ctx context.Context, e *Engine) error {
	if e.opts.LooseEvents == KeepLoose {
		return e.Unpack(ctx, nil)
	}
	return e.Pack(ctx, nil)
}

// repacking packs or unpacks what e has, each time that more is filed, until the function is called that it returns.
func repacking(t testing.TB, e *Engine) (stop func()) {
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for err := error(nil); ; err = repack(ctx, e) {
			if err == nil {
				err = e.WaitMaterialized(ctx, e.Materialized()+1)
			}
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

package opossum

import (
	"context"
	"fmt"
	"path/filepath"

	"opossum/ledger"
	"opossum/projection"
)

// projectionsDir is where read models are kept, in the directory of the store.
const projectionsDir = "projections"

// Projections returns a runner that keeps read models of the store's events, in its directory projections unless the options say otherwise; nil: the defaults. See
// [projection.Add]. Close it before the engine. A read-only engine changes nothing in the directory of its store: its options must have Stores.
// Errors: ErrInvalidOption; ErrLocked if another runner has the directory; ErrClosed.
func (e *Engine) Projections(o *projection.Options) (*projection.Runner, error) {
	if e.closed.Load() { // the directory is no longer this engine's
		return nil, fmt.Errorf("opossum: projections: %w", ErrClosed)
	}
	var opts projection.Options
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = e.logger
	}
	if opts.Stores == nil {
		if e.follow != nil {
			return nil, fmt.Errorf("opossum: projections: %w: a read-only engine needs Stores of its own", ErrInvalidOption)
		}
		if err := opts.Validate(); err != nil {
			return nil, fmt.Errorf("opossum: projections: %w", err)
		}
		stores, err := projection.Files(filepath.Join(e.dir, projectionsDir), opts.Logger)
		if err != nil {
			return nil, fmt.Errorf("opossum: projections: %w", err)
		}
		opts.Stores = stores
	}
	return projection.New(source{e}, opts)
}

// source is an engine as package projection wants it.
type source struct{ e *Engine }

func (s source) Read(ctx context.Context, q Query, o ReadOptions) (projection.View, error) {
	v, err := s.e.Read(ctx, q, o)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s source) Durable() Position { return s.e.Durable() }

// Wait lets relaxed strategies sync when they would: a read model that follows must not make a strict one of them. One that never syncs is prompted, or nothing would ever come.
func (s source) Wait(ctx context.Context, after Position) (Position, error) {
	var err error
	if s.e.strategy == FlushDisabled && s.e.follow == nil {
		err = s.e.WaitDurable(ctx, after+1)
	} else {
		err = s.e.ledger.Wait(ctx, ledger.Durable, after+1)
	}
	if err != nil {
		return 0, fmt.Errorf("opossum: follow: %w", err)
	}
	return s.e.Durable(), nil
}

// StoreID is that of the store and of the history that it has now: what came to positions that were lost is another one.
func (s source) StoreID() string {
	s.e.disk.Lock()
	defer s.e.disk.Unlock()
	return fmt.Sprintf("%s/%d", s.e.disk.state.Store, s.e.disk.state.Epoch)
}

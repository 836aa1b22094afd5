package projection

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"opossum/dcb"
	"opossum/internal/name"
)

// What all stores have in common.

func checkIdentity(id Identity) error { return name.Check("read model", id.Name) }

// fits returns an error that Is ErrUnfit and says what differs, if what is kept is not of the wanted identity.
func (kept Identity) fits(want Identity) error {
	var differ []error
	say := func(what string, kept, want any) {
		if kept != want {
			differ = append(differ, fmt.Errorf("%s is %v, wanted is %v", what, kept, want))
		}
	}
	say("name", kept.Name, want.Name)
	say("version", kept.Version, want.Version)
	say("query", kept.Query, want.Query)
	say("store", kept.Store, want.Store)
	if differ == nil {
		return nil
	}
	return fmt.Errorf("%w: the %w", ErrUnfit, errors.Join(differ...))
}

// checkRecords returns an error unless all can be kept.
func checkRecords(records []Record) error {
	for _, r := range records {
		if err := checkRecord(r); err != nil {
			return err
		}
	}
	return nil
}

func noState(key string) error {
	return fmt.Errorf("%w: there is no state %.80q", dcb.ErrNotFound, key)
}

func isOpenAlready(name string) error {
	return fmt.Errorf("%w: the read model %q is open already", dcb.ErrLocked, name)
}

func notBuilt(name string) error {
	return fmt.Errorf("%w: no store is open that could replace the read model %q", dcb.ErrInvalidOption, name)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

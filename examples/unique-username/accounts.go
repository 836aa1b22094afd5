package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// Why something is refused.
var (
	ErrNameClaimed = errors.New("the name is claimed")
	ErrNoAccount   = errors.New("there is no such account")
)

// The events. The last has the tags of both names: it frees one and claims the other, at once.
type (
	AccountRegistered struct {
		Name string `json:"name"`
	}
	AccountClosed struct {
		Name string `json:"name"`
	}
	NameChanged struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
)

// nameTag is a hash of the name, because names identify people. It is the same for all spellings of a name, and so they are one name. Whoever can guess names can guess their hashes; if
// that matters, use an HMAC with a key of the application.
func nameTag(name string) opossum.Tag {
	sum := sha256.Sum256([]byte(normal(name)))
	return opossum.Tag("username:" + hex.EncodeToString(sum[:16]))
}

func normal(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

const (
	accountRegistered = "AccountRegistered"
	accountClosed     = "AccountClosed"
	nameChanged       = "UsernameChanged"
)

func (AccountRegistered) EventType() string { return accountRegistered }
func (AccountClosed) EventType() string     { return accountClosed }
func (NameChanged) EventType() string       { return nameChanged }

func (e AccountRegistered) Tags() []opossum.Tag { return []opossum.Tag{nameTag(e.Name)} }
func (e AccountClosed) Tags() []opossum.Tag     { return []opossum.Tag{nameTag(e.Name)} }
func (e NameChanged) Tags() []opossum.Tag       { return []opossum.Tag{nameTag(e.Old), nameTag(e.New)} }

// claim is what has become of a name. The zero claim: nobody ever had it.
type claim struct {
	held  bool      // by an account
	freed time.Time // if it is no longer
}

// claimOf folds facts only. That time passes is no event: whether a name that was freed is free again is asked when the decision is made.
func claimOf(name string) opossum.Projection[claim] {
	return opossum.Projection[claim]{
		Name:  "claim of a name",
		Query: opossum.Match(opossum.QueryItem{Types: []string{accountRegistered, accountClosed, nameChanged}, Tags: []opossum.Tag{nameTag(name)}}),
		Apply: func(c claim, e opossum.SequencedEvent) claim {
			taken := e.Event.Type == accountRegistered ||
				e.Event.Type == nameChanged && normal(payload.Of[NameChanged](e).New) == normal(name)
			if taken {
				return claim{held: true}
			}
			return claim{freed: e.Event.Time}
		},
	}
}

// Accounts is what can be done.
type Accounts struct {
	Store *opossum.Engine
	Now   func() time.Time
	// Retention is how long a name is still claimed after it was freed, so that nobody is taken for who had it before.
	Retention time.Duration
}

func (a Accounts) free(c claim) bool {
	return !c.held && (c.freed.IsZero() || a.Now().Sub(c.freed) > a.Retention)
}

// Register opens an account. Error: ErrNameClaimed.
func (a Accounts) Register(ctx context.Context, name string) error {
	_, err := opossum.Decide(ctx, a.Store, claimOf(name), func(c claim) ([]opossum.Event, error) {
		if !a.free(c) {
			return nil, ErrNameClaimed
		}
		return payload.Events(a.Now(), AccountRegistered{name})
	})
	return err
}

// Close closes an account and frees its name. Error: ErrNoAccount.
func (a Accounts) Close(ctx context.Context, name string) error {
	_, err := opossum.Decide(ctx, a.Store, claimOf(name), func(c claim) ([]opossum.Event, error) {
		if !c.held {
			return nil, ErrNoAccount
		}
		return payload.Events(a.Now(), AccountClosed{name})
	})
	return err
}

// Rename gives an account another name: a decision about two names. Errors: ErrNoAccount, ErrNameClaimed.
func (a Accounts) Rename(ctx context.Context, old, new string) error {
	both := opossum.Join2(claimOf(old), claimOf(new))
	_, err := opossum.Decide(ctx, a.Store, both, func(c opossum.Pair[claim, claim]) ([]opossum.Event, error) {
		switch {
		case !c.First.held:
			return nil, ErrNoAccount
		case !a.free(c.Second):
			return nil, ErrNameClaimed
		}
		return payload.Events(a.Now(), NameChanged{old, new})
	})
	return err
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/projection"
)

// Open is a sign-up that waits for its token. When that is redeemed or revoked, the state is deleted, and its file.
type Open struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

// open has a state for each token that was issued and not used. Whether it has expired is asked of the clock when it is shown: no event says so.
var open = projection.Definition[Open]{
	Name: "open", Version: 1,
	Query: opossum.ByTypes(signUpInitiated, signUpConfirmed, signUpRevoked),
	Key: func(e opossum.SequencedEvent) string { // the hash of the token, not the address: keys are names of files
		switch e.Event.Type {
		case signUpInitiated:
			return payload.Of[SignUpInitiated](e).Token
		case signUpConfirmed:
			return payload.Of[SignUpConfirmed](e).Token
		}
		return payload.Of[SignUpRevoked](e).Token
	},
	Apply: func(_ *Open, e projection.Event) (*Open, error) {
		if e.Event.Type != signUpInitiated {
			return nil, nil
		}
		s := payload.Of[SignUpInitiated](e.SequencedEvent)
		return &Open{s.Email, s.Name}, nil
	},
}

// waiting tells who has an open token that is still valid, and for how long, the oldest first.
func waiting(ctx context.Context, s SignUps, model *projection.Model[Open]) (string, error) {
	if err := model.Wait(ctx, s.Store.Head()); err != nil { // so that it includes what was just done
		return "", err
	}
	recent, err := model.CreatedBetween(s.Now().Add(-s.Valid), s.Now().Add(time.Nanosecond)) // by the metadata: no file is read for those that have expired
	if err != nil {
		return "", err
	}
	slices.SortStableFunc(recent, func(a, b projection.Info) int { return a.Created.Compare(b.Created) })
	lines := []string{fmt.Sprintf("%d wait", len(recent))}
	for _, i := range recent {
		found, err := model.Get(i.Key)
		if err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%s, for %v more", found.State.Name, s.Valid-s.Now().Sub(i.Created)))
	}
	return strings.Join(lines, "\n"), nil
}

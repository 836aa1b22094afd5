package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/examples/internal/scenario"
	"opossum/projection"
)

const (
	john = "john.doe@example.com"
	jane = "jane.doe@example.com"
	dice = "fifteen letters" // of the dice: 15 bytes
	cast = "MZUWM5DFMVXCA3DFOR2GK4TT"
)

func app(store *opossum.Engine) SignUps {
	return SignUps{Store: store, Now: scenario.Clock, Rand: strings.NewReader(dice), Valid: time.Hour}
}

type (
	events  = []payload.Payload
	command = func(ctx context.Context, s SignUps) error
)

func initiate(email string) command {
	return func(ctx context.Context, s SignUps) error {
		token, err := s.Initiate(ctx, email, "Doe")
		if err == nil && token != cast {
			return errors.New("not the token that was cast: " + token)
		}
		return err
	}
}

func confirm(email, token string) command {
	return func(ctx context.Context, s SignUps) error { return s.Confirm(ctx, email, token) }
}

func revoke(email, token string) command {
	return func(ctx context.Context, s SignUps) error { return s.Revoke(ctx, email, token) }
}

func initiated(email, token string) payload.Payload {
	return SignUpInitiated{email, "Doe", hash(token)}
}

func TestSignUps(t *testing.T) {
	johns := SignUpConfirmed{john, "Doe", hash("111111")}
	for _, c := range []struct {
		name  string
		given events
		when  command
		then  events
		err   error
	}{
		{"a token is issued", nil, initiate(john), events{initiated(john, cast)}, nil},
		{"a second one", events{initiated(john, "111111")}, initiate(john), events{initiated(john, cast)}, nil},
		{"none for a confirmed address", events{initiated(john, "111111"), johns}, initiate("John.Doe@example.com"), nil, ErrConfirmed},
		{"one for another address", events{initiated(john, "111111"), johns}, initiate(jane), events{initiated(jane, cast)}, nil},

		{"a token that does not exist", nil, confirm(john, "000000"), nil, ErrNoToken},
		{"a token of another address", events{initiated(john, "111111")}, confirm(jane, "111111"), nil, ErrNoToken},
		{"another token of the address", events{initiated(john, "111111")}, confirm(john, "222222"), nil, ErrNoToken},
		{"a valid token", events{initiated(john, "111111")}, confirm(john, "111111"), events{johns}, nil},
		{"a used token", events{initiated(john, "111111"), johns}, confirm(john, "111111"), nil, ErrUsed},
		{"a second token of a confirmed address", events{initiated(john, "111111"), initiated(john, "222222"), johns}, confirm(john, "222222"), nil, ErrConfirmed},

		{"a token of 61 minutes", events{scenario.Ago(61*time.Minute, initiated(john, "111111"))}, confirm(john, "111111"), nil, ErrExpired},
		{"a token of 60 minutes", events{scenario.Ago(60*time.Minute, initiated(john, "111111"))}, confirm(john, "111111"), events{johns}, nil},
		{"a used token that would have expired", events{scenario.Ago(61*time.Minute, initiated(john, "111111")), scenario.Ago(time.Minute, johns)},
			confirm(john, "111111"), nil, ErrUsed},

		{"revoking", events{initiated(john, "111111")}, revoke(john, "111111"), events{SignUpRevoked{john, hash("111111")}}, nil},
		{"revoking a token that does not exist", nil, revoke(john, "111111"), nil, ErrNoToken},
		{"revoking a token of another address", events{initiated(john, "111111")}, revoke(jane, "111111"), nil, ErrNoToken},
		{"revoking a used token", events{initiated(john, "111111"), johns}, revoke(john, "111111"), nil, ErrUsed},
		{"a revoked token", events{initiated(john, "111111"), SignUpRevoked{john, hash("111111")}}, confirm(john, "111111"), nil, ErrRevoked},
		{"a token beside a revoked one", events{initiated(john, "111111"), initiated(john, "222222"), SignUpRevoked{john, hash("222222")}},
			confirm(john, "111111"), events{johns}, nil},
	} {
		scenario.Run(t, c.name, app, c.given, c.when, c.then, c.err)
	}
}

func TestRaces(t *testing.T) {
	given := events{initiated(john, "111111"), initiated(john, "222222")}
	for _, c := range []struct {
		name    string
		when    func(i int) command
		reasons []error
	}{
		{"to redeem", func(int) command { return confirm(john, "111111") }, []error{ErrUsed}},
		{"to redeem either of two", func(i int) command { return confirm(john, []string{"111111", "222222"}[i%2]) }, []error{ErrUsed, ErrConfirmed}},
		{"to redeem and to revoke", func(i int) command { return []command{confirm(john, "111111"), revoke(john, "111111")}[i%2] }, []error{ErrUsed, ErrRevoked}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := scenario.Store(t)
			scenario.Given(t, store, given...)
			require.Equal(t, 1, scenario.Race(t, 16, func(i int) error { return c.when(i)(t.Context(), app(store)) }, c.reasons...))
		})
	}
}

func TestTagsAndEventsTellNoSecret(t *testing.T) {
	store := scenario.Store(t)
	token, err := app(store).Initiate(t.Context(), john, "Doe")
	require.NoError(t, err)
	for _, e := range scenario.Events(t, store, opossum.AllEvents(), 0) {
		require.NotContains(t, fmt.Sprint(e.Tags), "doe")
		require.NotContains(t, string(e.Data), token)
	}
}

func TestOpen(t *testing.T) {
	first, second := SignUpInitiated{john, "John", "t1"}, SignUpInitiated{jane, "Jane", "t2"}
	for name, c := range map[string]struct {
		given events
		then  map[string]Open
	}{
		"nothing":  {nil, map[string]Open{}},
		"two":      {events{first, second}, map[string]Open{"t1": {john, "John"}, "t2": {jane, "Jane"}}},
		"redeemed": {events{first, second, SignUpConfirmed{john, "John", "t1"}}, map[string]Open{"t2": {jane, "Jane"}}},
		"revoked":  {events{first, second, SignUpRevoked{jane, "t2"}}, map[string]Open{"t1": {john, "John"}}},
	} {
		t.Run(name, func(t *testing.T) {
			shown, err := projection.Fold(open, scenario.Happened(t, c.given...)...)
			require.NoError(t, err)
			require.Equal(t, c.then, shown)
		})
	}
}

func TestNoTokenWithoutDice(t *testing.T) {
	s := app(scenario.Store(t))
	s.Rand = strings.NewReader("few")
	_, err := s.Initiate(t.Context(), john, "Doe")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # A token is for one address, and for one time.
	// $ initiate ann@example.org Ann
	//   the token 3GDX5TTNG2FKYGTPIGPMMJ6H was sent to ann@example.org
	// $ confirm bob@example.org 3GDX5TTNG2FKYGTPIGPMMJ6H
	//   refused: there is no such token for this address
	// $ confirm ann@example.org 3GDX5TTNG2FKYGTPIGPMMJ6H
	//   ann@example.org is confirmed
	// $ confirm ann@example.org 3GDX5TTNG2FKYGTPIGPMMJ6H
	//   refused: the token was used
	// $ initiate ann@example.org Ann
	//   refused: the address is confirmed already
	//
	// # It expires, and can be revoked.
	// $ initiate bob@example.org Bob
	//   the token SR2E2LSWN6G526HTJT2JFHXV was sent to bob@example.org
	//   ... 20m later
	// $ waiting
	//   1 wait
	//   Bob, for 40m0s more
	//   ... 41m later
	// $ confirm bob@example.org SR2E2LSWN6G526HTJT2JFHXV
	//   refused: the token has expired
	// $ initiate bob@example.org Bob
	//   the token J5RV3K5DQQ3I3DEFILOLRKMU was sent to bob@example.org
	// $ revoke bob@example.org J5RV3K5DQQ3I3DEFILOLRKMU
	//   the token is revoked
	// $ confirm bob@example.org J5RV3K5DQQ3I3DEFILOLRKMU
	//   refused: the token was revoked
	// $ waiting
	//   0 wait
	// $ models
	//   open: version 1, following, at position 5, 0 behind, 1 states
	// <nil>
}

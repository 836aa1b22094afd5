package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/examples/internal/scenario"
)

const day = 24 * time.Hour

func app(store *opossum.Engine) Accounts {
	return Accounts{Store: store, Now: scenario.Clock, Retention: 3 * day}
}

type (
	events  = []payload.Payload
	command = func(ctx context.Context, a Accounts) error
)

func register(name string) command {
	return func(ctx context.Context, a Accounts) error { return a.Register(ctx, name) }
}

func closing(name string) command {
	return func(ctx context.Context, a Accounts) error { return a.Close(ctx, name) }
}

func rename(old, new string) command {
	return func(ctx context.Context, a Accounts) error { return a.Rename(ctx, old, new) }
}

func TestAccounts(t *testing.T) {
	daysAgo := func(n int, p payload.Payload) payload.Payload { return scenario.Ago(time.Duration(n)*day, p) }
	old := daysAgo(9, AccountRegistered{"u1"})
	for _, c := range []struct {
		name  string
		given events
		when  command
		then  events
		err   error
	}{
		{"an unused name", nil, register("u1"), events{AccountRegistered{"u1"}}, nil},
		{"a claimed name", events{AccountRegistered{"u1"}}, register("u1"), nil, ErrNameClaimed},
		{"a claimed name, spelled otherwise", events{AccountRegistered{"JamesBond"}}, register(" jamesbond"), nil, ErrNameClaimed},
		{"another name", events{AccountRegistered{"u1"}}, register("u2"), events{AccountRegistered{"u2"}}, nil},

		{"a name of a closed account", events{old, daysAgo(8, AccountClosed{"u1"})}, register("u1"), events{AccountRegistered{"u1"}}, nil},
		{"a name that was released and claimed again", events{old, daysAgo(8, AccountClosed{"u1"}), AccountRegistered{"u1"}}, register("u1"), nil, ErrNameClaimed},
		{"closing", events{old}, closing("u1"), events{AccountClosed{"u1"}}, nil},
		{"closing what is closed", events{old, AccountClosed{"u1"}}, closing("u1"), nil, ErrNoAccount},
		{"closing nothing", nil, closing("u1"), nil, ErrNoAccount},

		{"a name that was changed", events{old, daysAgo(8, NameChanged{"u1", "u2"})}, register("u1"), events{AccountRegistered{"u1"}}, nil},
		{"a name that another was changed to", events{old, daysAgo(8, NameChanged{"u1", "u2"})}, register("u2"), nil, ErrNameClaimed},
		{"changing to a free name", events{old}, rename("u1", "u2"), events{NameChanged{"u1", "u2"}}, nil},
		{"changing to a claimed name", events{old, AccountRegistered{"u2"}}, rename("u1", "u2"), nil, ErrNameClaimed},
		{"changing to the same name", events{old}, rename("u1", "U1"), nil, ErrNameClaimed},
		{"changing the name of nobody", nil, rename("u1", "u2"), nil, ErrNoAccount},
		{"changing a name that was changed", events{old, NameChanged{"u1", "u2"}}, rename("u1", "u3"), nil, ErrNoAccount},

		{"a closed account's name, within the retention", events{old, daysAgo(3, AccountClosed{"u1"})}, register("u1"), nil, ErrNameClaimed},
		{"a changed name, within the retention", events{old, daysAgo(3, NameChanged{"u1", "u2"})}, register("u1"), nil, ErrNameClaimed},
		{"changing to a name within the retention", events{old, daysAgo(3, NameChanged{"u1", "u2"})}, rename("u2", "u1"), nil, ErrNameClaimed},
		{"a closed account's name, after the retention", events{old, daysAgo(4, AccountClosed{"u1"})}, register("u1"), events{AccountRegistered{"u1"}}, nil},
		{"a changed name, after the retention", events{old, daysAgo(4, NameChanged{"u1", "u2"})}, register("u1"), events{AccountRegistered{"u1"}}, nil},
	} {
		scenario.Run(t, c.name, app, c.given, c.when, c.then, c.err)
	}
}

func TestRaces(t *testing.T) {
	for _, c := range []struct {
		name    string
		given   events
		when    func(i int) command
		won     int
		reasons []error
	}{
		{"for a new name", nil, func(i int) command { return register([]string{"u1", "U1"}[i%2]) }, 1, []error{ErrNameClaimed}},
		{"for a released name", events{scenario.Ago(9*day, AccountRegistered{"u1"}), scenario.Ago(8*day, AccountClosed{"u1"})},
			func(int) command { return register("u1") }, 1, []error{ErrNameClaimed}},
		{"to rename and to register", events{AccountRegistered{"a"}, AccountRegistered{"b"}},
			func(i int) command { return []command{rename("a", "u1"), rename("b", "u1"), register("u1")}[i%3] }, 1, []error{ErrNameClaimed, ErrNoAccount}},
		{"to close and to rename", events{AccountRegistered{"a"}}, func(i int) command { return []command{closing("a"), rename("a", "b")}[i%2] }, 1, []error{ErrNoAccount, ErrNameClaimed}},
		{"for nothing", nil, func(i int) command { return register(fmt.Sprint("u", i)) }, 16, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := scenario.Store(t)
			scenario.Given(t, store, c.given...)
			require.Equal(t, c.won, scenario.Race(t, 16, func(i int) error { return c.when(i)(t.Context(), app(store)) }, c.reasons...))
		})
	}
}

func TestTagsTellNoName(t *testing.T) {
	for _, p := range (events{AccountRegistered{"jamesbond"}, AccountClosed{"jamesbond"}, NameChanged{"jamesbond", "moneypenny"}}) {
		for _, tag := range p.Tags() {
			require.True(t, strings.HasPrefix(string(tag), "username:"))
			require.NotContains(t, string(tag), "bond")
			require.NotContains(t, string(tag), "penny")
		}
	}
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # There is one James Bond, however he is spelled.
	// $ register jamesbond
	//   jamesbond is registered
	// $ register JamesBond
	//   refused: the name is claimed
	//
	// # He takes another name. The old one is kept back for three days.
	// $ rename jamesbond 007
	//   jamesbond is now 007
	// $ register jamesbond
	//   refused: the name is claimed
	//   ... 73h later
	// $ register jamesbond
	//   jamesbond is registered
	//
	// # Nobody takes the name of another.
	// $ rename jamesbond 007
	//   refused: the name is claimed
	// $ close 007
	//   the account of 007 is closed
	// $ close 007
	//   refused: there is no such account
	// <nil>
}

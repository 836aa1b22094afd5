package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/examples/internal/scenario"
)

const cast = "6465722057757266" // the identity that the dice give

func app(store *opossum.Engine) Orders {
	return Orders{Store: store, Now: scenario.Clock, Rand: strings.NewReader("der Wurf")}
}

type (
	events  = []payload.Payload
	command = func(ctx context.Context, o Orders) error
)

// place expects that order to come back.
func place(token, order string) command {
	return func(ctx context.Context, o Orders) error {
		got, err := o.Place(ctx, token, "tea")
		if got != order {
			return fmt.Errorf("order %q, not %q; %w", got, order, err)
		}
		return err
	}
}

func withdraw(order string) command {
	return func(ctx context.Context, o Orders) error { return o.Withdraw(ctx, order) }
}

func TestOrders(t *testing.T) {
	first := OrderPlaced{"o12345", "11111", "tea"}
	for _, c := range []struct {
		name  string
		given events
		when  command
		then  events
		err   error
	}{
		{"a first token", nil, place("11111", cast), events{OrderPlaced{cast, "11111", "tea"}}, nil},
		{"a token that was used", events{first}, place("11111", "o12345"), nil, ErrAlreadyPlaced},
		{"a new token", events{first}, place("22222", cast), events{OrderPlaced{cast, "22222", "tea"}}, nil},
		{"a token of a withdrawn order", events{first, OrderWithdrawn{"o12345", "11111"}}, place("11111", cast), events{OrderPlaced{cast, "11111", "tea"}}, nil},
		{"a token used again after it was withdrawn", events{first, OrderWithdrawn{"o12345", "11111"}, OrderPlaced{"o2", "11111", "tea"}},
			place("11111", "o2"), nil, ErrAlreadyPlaced},
		{"a token beside a withdrawn order", events{first, OrderPlaced{"o2", "22222", "tea"}, OrderWithdrawn{"o12345", "11111"}},
			place("22222", "o2"), nil, ErrAlreadyPlaced},

		{"withdrawing", events{first}, withdraw("o12345"), events{OrderWithdrawn{"o12345", "11111"}}, nil},
		{"withdrawing twice", events{first, OrderWithdrawn{"o12345", "11111"}}, withdraw("o12345"), nil, ErrNoOrder},
		{"withdrawing nothing", events{first}, withdraw("o54321"), nil, ErrNoOrder},
	} {
		scenario.Run(t, c.name, app, c.given, c.when, c.then, c.err)
	}
}

func TestRaces(t *testing.T) {
	t.Run("of the same order, sent again and again", func(t *testing.T) {
		store := scenario.Store(t)
		got := make([]string, 16)
		require.Equal(t, 1, scenario.Race(t, len(got), func(i int) (err error) {
			dice := strings.NewReader(fmt.Sprintf("%08d", i))
			got[i], err = Orders{store, scenario.Clock, dice}.Place(t.Context(), "11111", "tea")
			return err
		}, ErrAlreadyPlaced))
		for _, order := range got {
			require.Equal(t, got[0], order, "all are told the same order")
		}
	})
	t.Run("of many orders", func(t *testing.T) {
		store := scenario.Store(t)
		require.Equal(t, 16, scenario.Race(t, 16, func(i int) error {
			return place(fmt.Sprint("t", i), cast)(t.Context(), app(store))
		}))
	})
	t.Run("to withdraw", func(t *testing.T) {
		store := scenario.Store(t)
		scenario.Given(t, store, OrderPlaced{"o1", "11111", "tea"})
		require.Equal(t, 1, scenario.Race(t, 16, func(int) error { return withdraw("o1")(t.Context(), app(store)) }, ErrNoOrder))
	})
}

func TestNoIdentityWithoutDice(t *testing.T) {
	o := app(scenario.Store(t))
	o.Rand = strings.NewReader("few")
	_, err := o.Place(t.Context(), "11111", "tea")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # The answer is lost, and the client sends the order again.
	// $ place t-11111 tea
	//   order d9877ece6d368aac
	// $ place t-11111 tea
	//   order d9877ece6d368aac, as before
	//
	// # Another order has another token.
	// $ place t-22222 tea
	//   order 1bfb1fa37c41a11e
	//
	// # What was withdrawn can be placed again.
	// $ withdraw d9877ece6d368aac
	//   withdrawn
	// $ place t-11111 tea
	//   order a46add6a48d89474
	// $ withdraw d9877ece6d368aac
	//   refused: there is no such order
	// <nil>
}

package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/examples/internal/scenario"
)

func app(store *opossum.Engine) Products {
	return Products{Store: store, Now: scenario.Clock, Grace: 10 * time.Minute}
}

type (
	events  = []payload.Payload
	command = func(ctx context.Context, p Products) error
)

func define(product string, cents int) command {
	return func(ctx context.Context, p Products) error { return p.Define(ctx, product, cents) }
}

func change(product string, cents int) command {
	return func(ctx context.Context, p Products) error { return p.ChangePrice(ctx, product, cents) }
}

func order(cart ...Item) command {
	return func(ctx context.Context, p Products) error { return p.Order(ctx, cart...) }
}

func minutesAgo(n int, p payload.Payload) payload.Payload {
	return scenario.Ago(time.Duration(n)*time.Minute, p)
}

func TestProducts(t *testing.T) {
	p1 := minutesAgo(20, ProductDefined{"p1", 123})
	changed := func(ago int) events { return events{p1, minutesAgo(ago, PriceChanged{"p1", 134})} }
	for _, c := range []struct {
		name  string
		given events
		when  command
		then  events
		err   error
	}{
		{"a new product", nil, define("p1", 123), events{ProductDefined{"p1", 123}}, nil},
		{"a product that exists", events{p1}, define("p1", 100), nil, ErrProductExists},
		{"another price", events{p1}, change("p1", 134), events{PriceChanged{"p1", 134}}, nil},
		{"the same price", changed(5), change("p1", 134), nil, ErrSamePrice},
		{"the price before", changed(5), change("p1", 123), events{PriceChanged{"p1", 123}}, nil},
		{"the price of nothing", nil, change("p1", 134), nil, ErrNoProduct},

		{"a displayed price that is invalid", events{ProductDefined{"p1", 123}}, order(Item{"p1", 100}), nil, ErrPriceInvalid},
		{"a displayed price that is valid", events{ProductDefined{"p1", 123}}, order(Item{"p1", 123}), events{ProductsOrdered{[]Item{{"p1", 123}}}}, nil},
		{"a product that does not exist", nil, order(Item{"p1", 0}), nil, ErrPriceInvalid},

		{"a price that was never valid", events{p1}, order(Item{"p1", 100}), nil, ErrPriceInvalid},
		{"the first price", events{p1}, order(Item{"p1", 123}), events{ProductsOrdered{[]Item{{"p1", 123}}}}, nil},
		{"a price changed 20 minutes ago", changed(20), order(Item{"p1", 123}), nil, ErrPriceInvalid},
		{"a price changed 11 minutes ago", changed(11), order(Item{"p1", 123}), nil, ErrPriceInvalid},
		{"a price changed 10 minutes ago", changed(10), order(Item{"p1", 123}), events{ProductsOrdered{[]Item{{"p1", 123}}}}, nil},
		{"a price changed 9 minutes ago", changed(9), order(Item{"p1", 123}), events{ProductsOrdered{[]Item{{"p1", 123}}}}, nil},
		{"the new price", changed(9), order(Item{"p1", 134}), events{ProductsOrdered{[]Item{{"p1", 134}}}}, nil},
		{"the price before the last but one", append(changed(15), minutesAgo(5, PriceChanged{"p1", 140})), order(Item{"p1", 123}), nil, ErrPriceInvalid},
		{"the price in force ten minutes ago", append(changed(15), minutesAgo(5, PriceChanged{"p1", 140})), order(Item{"p1", 134}),
			events{ProductsOrdered{[]Item{{"p1", 134}}}}, nil},
		{"a price that came back", append(changed(15), minutesAgo(1, PriceChanged{"p1", 123})), order(Item{"p1", 123}), events{ProductsOrdered{[]Item{{"p1", 123}}}}, nil},

		{"a cart", append(changed(9), minutesAgo(8, ProductDefined{"p2", 321})), order(Item{"p1", 123}, Item{"p2", 321}),
			events{ProductsOrdered{[]Item{{"p1", 123}, {"p2", 321}}}}, nil},
		{"a cart with one price that is invalid", append(changed(9), ProductDefined{"p2", 321}), order(Item{"p1", 123}, Item{"p2", 300}), nil, ErrPriceInvalid},
		{"a cart with the price of another product", append(changed(9), ProductDefined{"p2", 321}), order(Item{"p1", 321}, Item{"p2", 321}), nil, ErrPriceInvalid},
		{"the same product twice, at both prices", changed(9), order(Item{"p1", 123}, Item{"p1", 134}), events{ProductsOrdered{[]Item{{"p1", 123}, {"p1", 134}}}}, nil},
		{"nothing", events{p1}, order(), nil, ErrEmptyCart},
	} {
		scenario.Run(t, c.name, app, c.given, c.when, c.then, c.err)
	}
}

func TestRaces(t *testing.T) {
	for _, c := range []struct {
		name    string
		when    func(i int) command
		won     int
		reasons []error
	}{
		{"to define", func(i int) command { return define("new", i) }, 1, []error{ErrProductExists}},
		{"to change to the same price", func(int) command { return change("p1", 134) }, 1, []error{ErrSamePrice}},
		{"orders are none", func(int) command { return order(Item{"p1", 100}, Item{"p2", 200}) }, 16, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := scenario.Store(t)
			scenario.Given(t, store, ProductDefined{"p1", 100}, ProductDefined{"p2", 200})
			require.Equal(t, c.won, scenario.Race(t, 16, func(i int) error { return c.when(i)(t.Context(), app(store)) }, c.reasons...))
		})
	}
}

// Prices change while carts are ordered. There is no grace, so each order in the log is at the very prices before it.
func TestNoOrderAtAPriceThatIsGone(t *testing.T) {
	store := scenario.Store(t)
	scenario.Given(t, store, ProductDefined{"p1", 0}, ProductDefined{"p2", 0})
	strict := app(store)
	strict.Grace = -1
	scenario.Race(t, 16, func(i int) error {
		if i%4 == 0 {
			return strict.ChangePrice(t.Context(), "p2", i+1)
		}
		return strict.Order(t.Context(), Item{"p1", 0}, Item{"p2", 0})
	}, ErrPriceInvalid)

	at := 0
	for i, e := range scenario.Events(t, store, opossum.AllEvents(), 0) {
		e := opossum.SequencedEvent{Position: opossum.Position(i + 1), Event: e}
		switch e.Event.Type {
		case priceChanged:
			at = payload.Of[PriceChanged](e).Cents
		case productsOrdered:
			require.Equal(t, at, payload.Of[ProductsOrdered](e).Items[1].Cents)
		}
	}
	require.NotZero(t, at)
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # Customers pay what they were shown.
	// $ define tea 300
	//   tea costs 300
	// $ define cake 450
	//   cake costs 450
	// $ order tea=300
	//   ordered, 300 in all
	// $ order tea=200
	//   refused: tea: the price is not valid, or no longer
	//
	// # The old price is valid for ten minutes more.
	// $ price tea 350
	//   tea costs 350
	//   ... 9m later
	// $ order tea=300 cake=450
	//   ordered, 750 in all
	// $ order tea=350
	//   ordered, 350 in all
	//   ... 2m later
	// $ order tea=300 cake=450
	//   refused: tea: the price is not valid, or no longer
	// $ order tea=350 cake=450
	//   ordered, 800 in all
	// <nil>
}

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// Why something is refused.
var (
	ErrAlreadyPlaced = errors.New("the order was placed already")
	ErrNoOrder       = errors.New("there is no such order")
)

// The events. Both have the token that the client chose and the identity that we chose: no client decides what an order is called.
type (
	OrderPlaced struct {
		Order string `json:"order"`
		Token string `json:"token"`
		What  string `json:"what"`
	}
	OrderWithdrawn struct {
		Order string `json:"order"`
		Token string `json:"token"`
	}
)

func orderTag(id string) opossum.Tag    { return opossum.Tag("order:" + id) }
func tokenTag(token string) opossum.Tag { return opossum.Tag("idempotency:" + token) }

const (
	orderPlaced    = "OrderPlaced"
	orderWithdrawn = "OrderWithdrawn"
)

func (OrderPlaced) EventType() string    { return orderPlaced }
func (OrderWithdrawn) EventType() string { return orderWithdrawn }

func (e OrderPlaced) Tags() []opossum.Tag { return []opossum.Tag{orderTag(e.Order), tokenTag(e.Token)} }
func (e OrderWithdrawn) Tags() []opossum.Tag {
	return []opossum.Tag{orderTag(e.Order), tokenTag(e.Token)}
}

// placed is the order that stands under the tag of a token, or of the order itself; the zero one if there is none.
func placed(under opossum.Tag) opossum.Projection[OrderPlaced] {
	return opossum.Projection[OrderPlaced]{
		Name:  "order",
		Query: opossum.Match(opossum.QueryItem{Types: []string{orderPlaced, orderWithdrawn}, Tags: []opossum.Tag{under}}),
		Apply: func(_ OrderPlaced, e opossum.SequencedEvent) OrderPlaced {
			if e.Event.Type == orderWithdrawn {
				return OrderPlaced{}
			}
			return payload.Of[OrderPlaced](e)
		},
	}
}

// Orders is what can be done.
type Orders struct {
	Store *opossum.Engine
	Now   func() time.Time
	Rand  io.Reader // of identities
}

// Place places an order. The token is a random word that the client chooses for each order, and sends again when it has to send the order again; then the order that it has placed comes
// back with ErrAlreadyPlaced. A token of an order that was withdrawn can be used again.
func (o Orders) Place(ctx context.Context, token, what string) (order string, err error) {
	var id [8]byte
	if _, err := io.ReadFull(o.Rand, id[:]); err != nil {
		return "", err
	}
	_, err = opossum.Decide(ctx, o.Store, placed(tokenTag(token)), func(before OrderPlaced) ([]opossum.Event, error) {
		if before.Order != "" {
			order = before.Order
			return nil, ErrAlreadyPlaced
		}
		order = hex.EncodeToString(id[:])
		return payload.Events(o.Now(), OrderPlaced{order, token, what})
	})
	return order, err
}

// Withdraw withdraws an order. Error: ErrNoOrder.
func (o Orders) Withdraw(ctx context.Context, order string) error {
	_, err := opossum.Decide(ctx, o.Store, placed(orderTag(order)), func(present OrderPlaced) ([]opossum.Event, error) {
		if present.Order == "" {
			return nil, ErrNoOrder
		}
		return payload.Events(o.Now(), OrderWithdrawn{order, present.Token})
	})
	return err
}

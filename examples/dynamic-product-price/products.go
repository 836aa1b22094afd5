package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// Why something is refused.
var (
	ErrProductExists = errors.New("the product exists")
	ErrNoProduct     = errors.New("there is no such product")
	ErrSamePrice     = errors.New("the product has that price")
	ErrPriceInvalid  = errors.New("the price is not valid, or no longer")
	ErrEmptyCart     = errors.New("the cart is empty")
)

// The events. An order is about every product in it.
type (
	ProductDefined struct {
		Product string `json:"product"`
		Cents   int    `json:"cents"`
	}
	PriceChanged struct {
		Product string `json:"product"`
		Cents   int    `json:"cents"`
	}
	ProductsOrdered struct {
		Items []Item `json:"items"`
	}
)

// Item is a product at the price that the customer was shown.
type Item struct {
	Product string `json:"product"`
	Cents   int    `json:"cents"`
}

func productTag(id string) opossum.Tag { return opossum.Tag("product:" + id) }

const (
	productDefined  = "ProductDefined"
	priceChanged    = "ProductPriceChanged"
	productsOrdered = "ProductsOrdered"
)

func (ProductDefined) EventType() string  { return productDefined }
func (PriceChanged) EventType() string    { return priceChanged }
func (ProductsOrdered) EventType() string { return productsOrdered }

func (e ProductDefined) Tags() []opossum.Tag { return []opossum.Tag{productTag(e.Product)} }
func (e PriceChanged) Tags() []opossum.Tag   { return []opossum.Tag{productTag(e.Product)} }

// Tags names each product once: an event has no tag twice.
func (e ProductsOrdered) Tags() []opossum.Tag {
	var tags []opossum.Tag
	for _, item := range e.Items {
		if tag := productTag(item.Product); !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// price is a price and when it was set.
type price struct {
	cents int
	set   time.Time
}

// prices are all that a product has had, in the order in which they were set. Orders do not match the query: customers do not disturb each other.
func prices(product string) opossum.Projection[[]price] {
	return opossum.Projection[[]price]{
		Name:  "prices of " + product,
		Query: opossum.Match(opossum.QueryItem{Types: []string{productDefined, priceChanged}, Tags: []opossum.Tag{productTag(product)}}),
		Apply: func(all []price, e opossum.SequencedEvent) []price {
			switch e.Event.Type {
			case productDefined:
				return append(all, price{payload.Of[ProductDefined](e).Cents, e.Event.Time})
			case priceChanged:
				return append(all, price{payload.Of[PriceChanged](e).Cents, e.Event.Time})
			}
			return all
		},
	}
}

// valid is whether a customer may be asked for that: it is the price, or was replaced not longer ago than the grace period.
func valid(all []price, cents int, now time.Time, grace time.Duration) bool {
	for i, p := range all {
		last := i == len(all)-1
		if p.cents == cents && (last || now.Sub(all[i+1].set) <= grace) {
			return true
		}
	}
	return false
}

// Products is what can be done.
type Products struct {
	Store *opossum.Engine
	Now   func() time.Time
	Grace time.Duration // how long a price is valid after it was changed
}

// Define makes a product. Error: ErrProductExists.
func (p Products) Define(ctx context.Context, product string, cents int) error {
	_, err := opossum.Decide(ctx, p.Store, prices(product), func(all []price) ([]opossum.Event, error) {
		if len(all) > 0 {
			return nil, ErrProductExists
		}
		return payload.Events(p.Now(), ProductDefined{product, cents})
	})
	return err
}

// ChangePrice gives a product another price. Errors: ErrNoProduct, ErrSamePrice.
func (p Products) ChangePrice(ctx context.Context, product string, cents int) error {
	_, err := opossum.Decide(ctx, p.Store, prices(product), func(all []price) ([]opossum.Event, error) {
		switch {
		case len(all) == 0:
			return nil, ErrNoProduct
		case all[len(all)-1].cents == cents:
			return nil, ErrSamePrice
		}
		return payload.Events(p.Now(), PriceChanged{product, cents})
	})
	return err
}

// Order orders all items or none. The decision rests on as many products as are in the cart: one projection for each, and if the price of any of them changes at the same time, it is made
// anew. Errors: ErrEmptyCart; ErrPriceInvalid, which says of which product.
func (p Products) Order(ctx context.Context, cart ...Item) error {
	if len(cart) == 0 {
		return ErrEmptyCart
	}
	facts := make([]opossum.Projection[[]price], len(cart))
	for i, item := range cart {
		facts[i] = prices(item.Product)
	}
	_, err := opossum.Decide(ctx, p.Store, opossum.JoinAll(facts...), func(known [][]price) ([]opossum.Event, error) {
		now := p.Now()
		for i, item := range cart {
			if !valid(known[i], item.Cents, now, p.Grace) {
				return nil, fmt.Errorf("%s: %w", item.Product, ErrPriceInvalid)
			}
		}
		return payload.Events(now, ProductsOrdered{cart})
	})
	return err
}

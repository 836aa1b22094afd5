package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// The events. The second says nothing new: it is a snapshot, so that nobody has to read what came before it.
type (
	InvoiceCreated struct {
		Number int    `json:"number"`
		Order  string `json:"order"`
		Cents  int    `json:"cents"`
	}
	InvoicesCounted struct {
		Last int `json:"last"` // number of the last invoice so far
	}
)

const (
	invoiceCreated  = "InvoiceCreated"
	invoicesCounted = "InvoicesCounted"
)

func (InvoiceCreated) EventType() string  { return invoiceCreated }
func (InvoicesCounted) EventType() string { return invoicesCounted }

func (e InvoiceCreated) Tags() []opossum.Tag {
	return []opossum.Tag{opossum.Tag("invoice:" + strconv.Itoa(e.Number)), opossum.Tag("order:" + e.Order)}
}
func (InvoicesCounted) Tags() []opossum.Tag { return nil }

// created is what every way rests on: no other invoice was created meanwhile. So all three can be used side by side.
var created = opossum.ByTypes(invoiceCreated)

// lastNumber is the number of the last invoice; 0: there is none.
var lastNumber = opossum.Projection[int]{
	Name:  "last invoice number",
	Query: created,
	Apply: func(_ int, e opossum.SequencedEvent) int { return payload.Of[InvoiceCreated](e).Number },
}

// Invoices is what can be done. Its three ways do the same at different costs, and each returns the number of the invoice. Numbers have no gaps, because a number is taken and used in
// one append or not at all.
type Invoices struct {
	Store *opossum.Engine
	Now   func() time.Time
	// SnapshotEvery is how many invoices the second way leaves between two snapshots.
	SnapshotEvery int
}

// CreateByReplay reads all invoices. It is the plain form of a decision, and fast enough for thousands.
func (v Invoices) CreateByReplay(ctx context.Context, order string, cents int) (number int, err error) {
	_, err = opossum.Decide(ctx, v.Store, lastNumber, func(last int) ([]opossum.Event, error) {
		number = last + 1
		return payload.Events(v.Now(), InvoiceCreated{number, order, cents})
	})
	return number, err
}

// CreateFromSnapshot reads the last snapshot and the invoices after it, and appends a snapshot now and then, together with the invoice that it counts. It is the way for states that
// need more than one event, such as a balance.
func (v Invoices) CreateFromSnapshot(ctx context.Context, order string, cents int) (int, error) {
	for {
		var snapshot InvoicesCounted
		e, err := v.Store.ReadLast(ctx, opossum.ByTypes(invoicesCounted))
		switch {
		case err == nil:
			snapshot = payload.Of[InvoicesCounted](e)
		case !errors.Is(err, opossum.ErrNotFound):
			return 0, err
		}
		view, err := v.Store.Read(ctx, created, opossum.ReadOptions{After: e.Position})
		if err != nil {
			return 0, err
		}
		last := snapshot.Last
		for e, err := range view.All() {
			if err != nil {
				return 0, err
			}
			last = lastNumber.Apply(last, e)
		}

		what := []payload.Payload{InvoiceCreated{last + 1, order, cents}}
		if last+1-snapshot.Last >= v.SnapshotEvery {
			what = append(what, InvoicesCounted{last + 1})
		}
		events, err := payload.Events(v.Now(), what...)
		if err != nil {
			return 0, err
		}
		_, err = v.Store.Append(ctx, events, &opossum.Condition{FailIfMatch: created, After: view.Head()})
		if !errors.Is(err, opossum.ErrConditionFailed) {
			return last + 1, err
		}
	}
}

// CreateAfterLast reads one event: the last invoice has all that matters. Its position is the condition's: whatever came after it has not been seen.
func (v Invoices) CreateAfterLast(ctx context.Context, order string, cents int) (int, error) {
	for {
		number := 1
		last, err := v.Store.ReadLast(ctx, created)
		switch {
		case err == nil:
			number = payload.Of[InvoiceCreated](last).Number + 1
		case !errors.Is(err, opossum.ErrNotFound):
			return 0, err
		}
		events, err := payload.Events(v.Now(), InvoiceCreated{number, order, cents})
		if err != nil {
			return 0, err
		}
		_, err = v.Store.Append(ctx, events, &opossum.Condition{FailIfMatch: created, After: last.Position})
		if !errors.Is(err, opossum.ErrConditionFailed) { // or else somebody was faster: one always is
			return number, err
		}
	}
}

package dcb

import "fmt"

// Condition guards an append: it is checked atomically with it. At least one clause is set; a clause is not given when
// its query is the zero Query.
type Condition struct {
	// FailIfMatch fails the append if an event after After matches: "nothing relevant has happened since I looked".
	FailIfMatch Query
	// After is exclusive: the highest position that the writer knew, best the Head of its View. 0 looks at everything;
	// a position beyond the head is allowed.
	After Position
	// FailIfExists fails the append if any event at all matches, whatever After says. It is judged first.
	FailIfExists Query
}

// Validate returns nil, or an error that Is [ErrInvalidQuery] and names the clause.
func (c Condition) Validate() error {
	if c.FailIfMatch.IsZero() && c.FailIfExists.IsZero() {
		return ErrNoClause
	}
	if !c.FailIfMatch.IsZero() {
		if err := c.FailIfMatch.Validate(); err != nil {
			return fmt.Errorf("FailIfMatch: %w", err)
		}
	}
	if !c.FailIfExists.IsZero() {
		if err := c.FailIfExists.Validate(); err != nil {
			return fmt.Errorf("FailIfExists: %w", err)
		}
	}
	return nil
}

// ReadOptions bounds and orders a read.
type ReadOptions struct {
	After     Position // only positions > After
	Before    Position // only positions < Before; 0: no bound
	Backwards bool     // newest first
	Limit     int      // at most so many events; 0: no limit
}

// Validate returns nil, or an error that Is [ErrInvalidQuery].
func (o ReadOptions) Validate() error {
	if o.Limit < 0 {
		return fmt.Errorf("limit %d: %w", o.Limit, ErrBadLimit)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// Repository loads and saves courses. The boundary of an aggregate is a query, too: all events that have its tag.
type Repository struct {
	Store *opossum.Engine
	Now   func() time.Time
}

func history(id string) opossum.Projection[Course] {
	return opossum.Projection[Course]{
		Name:  "course " + id,
		Query: opossum.ByTags(courseTag(id)),
		Apply: func(c Course, e opossum.SequencedEvent) Course {
			c.apply(stored(e))
			return c
		},
	}
}

// Load returns a course as it is now. Error: ErrNoCourse.
func (r Repository) Load(ctx context.Context, id string) (Course, error) {
	model, err := opossum.Build(ctx, r.Store, history(id))
	if err != nil {
		return Course{}, err
	}
	c := model.State()
	if c.id == "" {
		return Course{}, ErrNoCourse
	}
	c.version = model.Head()
	return c, nil
}

// Save stores what was recorded since the course was loaded or saved, all of it or nothing. Errors: ErrNothingToSave; ErrCourseExists, if it was never loaded;
// opossum.ErrConditionFailed, if somebody else has saved it meanwhile: load it and try again.
func (r Repository) Save(ctx context.Context, c *Course) error {
	if len(c.recorded) == 0 {
		return ErrNothingToSave
	}
	events, err := payload.Events(r.Now(), c.recorded...)
	if err != nil {
		return err
	}
	condition := &opossum.Condition{FailIfMatch: history(c.id).Query, After: c.version}
	if c.version == 0 {
		condition = &opossum.Condition{FailIfExists: history(c.id).Query}
	}
	saved, err := r.Store.Append(ctx, events, condition)
	if errors.Is(err, opossum.ErrAlreadyExists) {
		return ErrCourseExists
	}
	if err != nil {
		return err
	}
	c.version, c.recorded = saved, nil
	return nil
}

// Change loads a course, changes and saves it, and does all that again if somebody else was faster. It is one call of Decide: a Course is a value, and so each attempt changes a copy of its
// own. Errors: ErrNoCourse, and those of change.
func (r Repository) Change(ctx context.Context, id string, change func(c *Course) error) error {
	_, err := opossum.Decide(ctx, r.Store, history(id), func(c Course) ([]opossum.Event, error) {
		if c.id == "" {
			return nil, ErrNoCourse
		}
		if err := change(&c); err != nil {
			return nil, err
		}
		return payload.Events(r.Now(), c.recorded...)
	})
	return err
}

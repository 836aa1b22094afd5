package projection

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"opossum/dcb"
)

// known is what an index knows of a key: a state, a deletion above the checkpoint, or nothing.
type known struct {
	info Info // of a deletion only the position; the zero one: nothing is known
	tomb bool
}

// judge says what a state file is worth, that of a key of which an index knows something, at a checkpoint. It is given the record, or why there is none: fs.ErrNotExist, or
// dcb.ErrCorrupt. It returns what there is of the key, and whether the file has to go. The error says what is lost; it Is ErrUnfit.
//
// A file is right if it has the state as of the checkpoint, or of any later position: then the events up to there are passed over when they come again. So a state of which
// the index knows must be there, of the very position that the index says, or of one above the checkpoint. One that the index does not know has no state as of the
// checkpoint; its file is from a life that ended by then, or above the checkpoint, or was never finished.
func judge(was known, at dcb.Position, r Record, err error) (is known, remove bool, _ error) {
	lost := func(format string, args ...any) (known, bool, error) {
		return known{}, false, fmt.Errorf("%w: "+format, append([]any{ErrUnfit}, args...)...)
	}
	missing, damaged := errors.Is(err, fs.ErrNotExist), errors.Is(err, dcb.ErrCorrupt)
	switch {
	case err != nil && !missing && !damaged:
		return known{}, false, err
	case was.info.Key == "" && (missing || damaged):
		return known{}, damaged, nil
	case was.info.Key == "" && r.Position <= at:
		return known{}, true, nil
	case missing:
		return lost("the file of the state %.80q is missing", was.info.Key)
	case damaged:
		return lost("%w", err)
	}
	is = known{info: InfoOf(r), tomb: r.Deleted()}
	switch {
	case r.Position > at:
		return is, false, nil
	case was.info.Position != r.Position:
		return lost("the file of the state %.80q is of position %d, and the index says %d", r.Key, r.Position, was.info.Position)
	case was.tomb != is.tomb || !was.info.equal(is.info):
		return lost("the file of the state %.80q is not what the index says", r.Key)
	}
	return is, false, nil
}

func (i Info) equal(o Info) bool {
	return i.Key == o.Key && i.Position == o.Position && i.Created.Equal(o.Created) && i.Updated.Equal(o.Updated) && i.Version == o.Version && i.Size == o.Size &&
		slices.Equal(i.Tags, o.Tags)
}

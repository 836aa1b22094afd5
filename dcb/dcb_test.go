package dcb_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func event(typ string, tags ...dcb.Tag) dcb.Event { return dcb.Event{Type: typ, Tags: tags} }

// distinctTags returns n tags, none of which occurs twice.
func distinctTags(n int) []dcb.Tag {
	tags := make([]dcb.Tag, n)
	for i := range tags {
		tags[i] = dcb.Tag(fmt.Sprint("t:", i))
	}
	return tags
}

func TestEventValidate(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	year := func(y int) dcb.Event {
		return dcb.Event{Type: "T", Time: time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC)}
	}
	cases := []struct {
		name  string
		event dcb.Event
		want  []error // every sentinel that the error must be; none: the event is valid
	}{
		{"type only", event("T"), nil},
		{"everything", dcb.Event{ID: [16]byte{1}, Type: "T", Tags: []dcb.Tag{"a"}, Data: []byte{0xff}, Metadata: map[string]string{"k": "v"}, Time: time.Now()}, nil},

		{"empty type", event(""), []error{dcb.ErrEmptyType}},
		{"longest type", event(long(65_535)), nil},
		{"type too long", event(long(65_536)), []error{dcb.ErrTypeTooLong, dcb.ErrTooLarge}},
		{"the limit of a type is in bytes", event(strings.Repeat("é", 32_768)), []error{dcb.ErrTypeTooLong, dcb.ErrTooLarge}},
		{"type of an emoji", event("\U0001F9AB"), nil},
		{"type of a NUL", event("\x00"), nil},
		{"type with a path", event("../../etc/passwd"), nil},
		{"type of a space", event(" "), nil},
		{"type with U+FFFD", event("\ufffd"), nil},
		{"type not UTF-8", event("a\xff"), []error{dcb.ErrNotUTF8}},
		{"type with half an emoji", event("\xf0\x9f\xa6"), []error{dcb.ErrNotUTF8}},
		{"type with a surrogate", event("\xed\xa0\x80"), []error{dcb.ErrNotUTF8}},
		{"type with an overlong form", event("\xc0\xaf"), []error{dcb.ErrNotUTF8}},

		{"empty tag", event("T", "a", ""), []error{dcb.ErrEmptyTag}},
		{"longest tag", event("T", dcb.Tag(long(65_535))), nil},
		{"tag too long", event("T", dcb.Tag(long(65_536))), []error{dcb.ErrTagTooLong, dcb.ErrTooLarge}},
		{"strange tags", event("T", "\U0001F9AB", "\x00", "..", "/", ".", "\n", " ", "\u00e9", "e\u0301", "A", "a"), nil},
		{"tag not UTF-8", event("T", "\x80"), []error{dcb.ErrNotUTF8}},
		{"as many tags as allowed", event("T", distinctTags(1_024)...), nil},
		{"too many tags", event("T", distinctTags(1_025)...), []error{dcb.ErrTooManyTags, dcb.ErrTooLarge}},

		{"metadata with empty key and value", dcb.Event{Type: "T", Metadata: map[string]string{"": ""}}, nil},
		{"metadata key not UTF-8", dcb.Event{Type: "T", Metadata: map[string]string{"\xff": "v"}}, []error{dcb.ErrNotUTF8}},
		{"metadata value not UTF-8", dcb.Event{Type: "T", Metadata: map[string]string{"k": "\xff"}}, []error{dcb.ErrNotUTF8}},

		{"zero time", dcb.Event{Type: "T", Time: time.Time{}}, nil},
		{"year 0", year(0), nil},
		{"year 9999", year(9999), nil},
		{"year -1", year(-1), []error{dcb.ErrTimeRange}},
		{"year 10000", year(10000), []error{dcb.ErrTimeRange}},
		{"year 9999 here, 10000 in UTC", dcb.Event{Type: "T", Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("west", -7200))}, []error{dcb.ErrTimeRange}},
		{"year 10000 here, 9999 in UTC", dcb.Event{Type: "T", Time: time.Date(10000, 1, 1, 1, 0, 0, 0, time.FixedZone("east", 7200))}, nil},
		{"last nanosecond", dcb.Event{Type: "T", Time: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { requireSentinels(t, c.event.Validate(), dcb.ErrInvalidEvent, c.want) })
	}
}

// requireSentinels expects err to be nil if none is wanted, else to be the family, all that are wanted and no others.
func requireSentinels(t *testing.T, err, family error, want []error) {
	t.Helper()
	if want == nil {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, family)
	for _, sentinel := range sentinels {
		if sentinel != family {
			require.Equal(t, slices.Contains(want, sentinel), errors.Is(err, sentinel), "%v: is it %q?", err, sentinel)
		}
	}
}

// sentinels are all of them.
var sentinels = []error{
	dcb.ErrNoEvents, dcb.ErrInvalidEvent, dcb.ErrInvalidQuery, dcb.ErrTooLarge, dcb.ErrConditionFailed, dcb.ErrAlreadyExists,
	dcb.ErrNotFound, dcb.ErrClosed, dcb.ErrLocked, dcb.ErrReadOnly, dcb.ErrReopen, dcb.ErrNotStore, dcb.ErrNotRoot, dcb.ErrNoContext, dcb.ErrVersion, dcb.ErrInvalidOption,
	dcb.ErrPoisoned, dcb.ErrOutcomeUnknown, dcb.ErrDiskFull, dcb.ErrCorrupt,
	dcb.ErrEmptyType, dcb.ErrTypeTooLong, dcb.ErrEmptyTag, dcb.ErrDuplicateTag, dcb.ErrTagTooLong, dcb.ErrTooManyTags, dcb.ErrNotUTF8, dcb.ErrTimeRange,
	dcb.ErrNoItems, dcb.ErrEmptyItem, dcb.ErrBadTerm, dcb.ErrTooManyItems, dcb.ErrNoClause, dcb.ErrBadLimit,
}

// Few and many tags are compared in different ways: both must find the duplicate, wherever the two are.
func TestDuplicateTags(t *testing.T) {
	for _, n := range []int{2, 3, 15, 16, 17, 18, 1_024} {
		require.NoError(t, event("T", distinctTags(n)...).Validate(), "%d tags", n)
		for _, pair := range [][2]int{{0, 1}, {0, n - 1}, {n - 2, n - 1}, {n / 2, n - 1}} {
			if pair[0] == pair[1] {
				continue
			}
			tags := distinctTags(n)
			tags[pair[1]] = tags[pair[0]]
			err := event("T", tags...).Validate()
			requireSentinels(t, err, dcb.ErrInvalidEvent, []error{dcb.ErrDuplicateTag})
			require.ErrorContains(t, err, fmt.Sprintf("tag %d %q", pair[1], tags[pair[1]]), "%d tags", n)
		}
	}
}

func TestValidationErrorsNameTheItem(t *testing.T) {
	long := dcb.Tag(strings.Repeat("x", 70_000))
	for _, c := range []struct {
		err  error
		want string
	}{
		{event("").Validate(), `type "": empty type`},
		{event("T", "ok", "\xff").Validate(), `tag 1 "\xff": not valid UTF-8`},
		{event("T", distinctTags(1_025)...).Validate(), `1025 tags: more than 1,024 tags`},
		{dcb.Event{Type: "T", Metadata: map[string]string{"k": "\xff"}}.Validate(), `metadata "k": not valid UTF-8`},
		{dcb.ByTypes("ok", "").Validate(), `query item 0: type "": type or tag that no event can have`},
		{dcb.Match(dcb.QueryItem{Types: []string{"T"}}, dcb.QueryItem{Tags: []dcb.Tag{"\xff"}}).Validate(), `query item 1: tag "\xff": type or tag that no event can have`},
		{dcb.Condition{FailIfExists: dcb.ByTypes()}.Validate(), `FailIfExists: query item 0: query item with neither types nor tags`},
		{dcb.ReadOptions{Limit: -5}.Validate(), `limit -5: negative limit`},
	} {
		require.EqualError(t, c.err, c.want)
	}
	err := event("T", long).Validate()
	require.Less(t, len(err.Error()), 200, "a long tag is not repeated in full")
	require.ErrorContains(t, err, "(70000 bytes)")
}

func TestQueryValidate(t *testing.T) {
	items := func(n int) dcb.Query { return dcb.Match(slices.Repeat([]dcb.QueryItem{{Types: []string{"T"}}}, n)...) }
	types := func(n int) dcb.Query { return dcb.ByTypes(slices.Repeat([]string{"T"}, n)...) }
	bad := []error{dcb.ErrBadTerm}
	many := []error{dcb.ErrTooManyItems, dcb.ErrTooLarge}
	cases := []struct {
		name  string
		query dcb.Query
		want  []error
	}{
		{"all", dcb.AllEvents(), nil},
		{"types", dcb.ByTypes("A", "B"), nil},
		{"tags", dcb.ByTags("a", "b"), nil},
		{"both", dcb.Match(dcb.QueryItem{Types: []string{"A"}, Tags: []dcb.Tag{"a"}}), nil},
		{"strange terms", dcb.Match(dcb.QueryItem{Types: []string{"\x00", "..", "/"}, Tags: []dcb.Tag{"\U0001F9AB", "\x00", "..", "/"}}), nil},
		{"the same tag twice", dcb.ByTags("a", "a"), nil},
		{"longest terms", dcb.Match(dcb.QueryItem{Types: []string{strings.Repeat("x", 65_535)}, Tags: []dcb.Tag{dcb.Tag(strings.Repeat("x", 65_535))}}), nil},

		{"zero", dcb.Query{}, []error{dcb.ErrNoItems}},
		{"no items", dcb.Match(), []error{dcb.ErrNoItems}},
		{"no types", dcb.ByTypes(), []error{dcb.ErrEmptyItem}},
		{"no tags", dcb.ByTags(), []error{dcb.ErrEmptyItem}},
		{"one item of two is empty", dcb.Match(dcb.QueryItem{Types: []string{"A"}}, dcb.QueryItem{}), []error{dcb.ErrEmptyItem}},
		{"empty type", dcb.ByTypes("A", ""), bad},
		{"empty tag", dcb.ByTags("a", ""), bad},
		{"type too long", dcb.ByTypes(strings.Repeat("x", 65_536)), bad},
		{"tag too long", dcb.ByTags(dcb.Tag(strings.Repeat("x", 65_536))), bad},
		{"type not UTF-8", dcb.ByTypes("\xff"), bad},
		{"tag not UTF-8", dcb.ByTags("\xff"), bad},
		{"as many items as allowed", items(4_096), nil},
		{"too many items", items(4_097), many},
		{"as many types as allowed", types(4_096), nil},
		{"too many types", types(4_097), many},
		{"as many tags as allowed", dcb.ByTags(distinctTags(4_096)...), nil},
		{"too many tags", dcb.ByTags(distinctTags(4_097)...), many},
		{"gathered beyond the limit", items(4_096).Or(items(1)), many},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { requireSentinels(t, c.query.Validate(), dcb.ErrInvalidQuery, c.want) })
	}
}

func TestConditionValidate(t *testing.T) {
	good, zero, bad := dcb.ByTags("a"), dcb.Query{}, dcb.ByTags("")
	cases := []struct {
		name      string
		condition dcb.Condition
		want      []error
		clause    string
	}{
		{"match", dcb.Condition{FailIfMatch: good, After: 7}, nil, ""},
		{"match all", dcb.Condition{FailIfMatch: dcb.AllEvents()}, nil, ""},
		{"exists", dcb.Condition{FailIfExists: good}, nil, ""},
		{"both", dcb.Condition{FailIfMatch: good, FailIfExists: dcb.AllEvents(), After: 1<<64 - 1}, nil, ""},
		{"none", dcb.Condition{}, []error{dcb.ErrNoClause}, ""},
		{"only a position", dcb.Condition{After: 7}, []error{dcb.ErrNoClause}, ""},
		{"zero queries", dcb.Condition{FailIfMatch: zero, FailIfExists: zero}, []error{dcb.ErrNoClause}, ""},
		{"bad match", dcb.Condition{FailIfMatch: bad, FailIfExists: good}, []error{dcb.ErrBadTerm}, "FailIfMatch"},
		{"bad exists", dcb.Condition{FailIfMatch: good, FailIfExists: bad}, []error{dcb.ErrBadTerm}, "FailIfExists"},
		{"a query without items is not a clause left out", dcb.Condition{FailIfMatch: dcb.Match(), FailIfExists: good}, []error{dcb.ErrNoItems}, "FailIfMatch"},
		{"nor is it on the other side", dcb.Condition{FailIfMatch: good, FailIfExists: dcb.Match()}, []error{dcb.ErrNoItems}, "FailIfExists"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.condition.Validate()
			requireSentinels(t, err, dcb.ErrInvalidQuery, c.want)
			if c.clause != "" {
				require.ErrorContains(t, err, c.clause+": ")
			}
		})
	}
}

func TestReadOptionsValidate(t *testing.T) {
	require.NoError(t, dcb.ReadOptions{}.Validate())
	require.NoError(t, dcb.ReadOptions{After: 9, Before: 3, Backwards: true, Limit: 1}.Validate(), "an empty range is a range")
	requireSentinels(t, dcb.ReadOptions{Limit: -1}.Validate(), dcb.ErrInvalidQuery, []error{dcb.ErrBadLimit})
}

func TestMatches(t *testing.T) {
	e := event("Enrolled", "student:7", "course:c1")
	item := func(types []string, tags ...dcb.Tag) dcb.QueryItem { return dcb.QueryItem{Types: types, Tags: tags} }
	cases := []struct {
		name  string
		query dcb.Query
		want  bool
	}{
		{"all", dcb.AllEvents(), true},
		{"zero", dcb.Query{}, false},
		{"no items", dcb.Match(), false},
		{"its type", dcb.ByTypes("Enrolled"), true},
		{"one of the types", dcb.ByTypes("Left", "Enrolled"), true},
		{"another type", dcb.ByTypes("Left"), false},
		{"part of the type", dcb.ByTypes("Enroll"), false},
		{"the type in other case", dcb.ByTypes("enrolled"), false},
		{"the type with a NUL", dcb.ByTypes("Enrolled\x00"), false},
		{"a tag", dcb.ByTags("course:c1"), true},
		{"all tags in another order", dcb.ByTags("course:c1", "student:7"), true},
		{"a tag twice", dcb.ByTags("course:c1", "course:c1"), true},
		{"one tag too many", dcb.ByTags("course:c1", "student:7", "x"), false},
		{"part of a tag", dcb.ByTags("course:c"), false},
		{"a tag that is the type", dcb.ByTags("Enrolled"), false},
		{"a type that is a tag", dcb.ByTypes("student:7"), false},
		{"type and tag", dcb.Match(item([]string{"Enrolled"}, "student:7")), true},
		{"type but not tag", dcb.Match(item([]string{"Enrolled"}, "student:8")), false},
		{"tag but not type", dcb.Match(item([]string{"Left"}, "student:7")), false},
		{"type of one item and tag of another", dcb.Match(item([]string{"Enrolled"}, "x"), item([]string{"Left"}, "student:7")), false},
		{"second item", dcb.Match(item([]string{"Left"}), item(nil, "student:7")), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.query.Matches(e)) })
	}
	require.True(t, dcb.AllEvents().Matches(event("T")), "an event without tags")
	require.False(t, dcb.ByTags("a").Matches(event("T")))
}

// model is a second, plainer statement of what matching means: sets, and the words "for all" and "there is" spelled out.
func model(items []dcb.QueryItem, e dcb.Event) bool {
	has := map[string]bool{}
	for _, tag := range e.Tags {
		has[string(tag)] = true
	}
	matching := 0
	for _, it := range items {
		rightTypes, missing := 0, 0
		for _, typ := range it.Types {
			if typ == e.Type {
				rightTypes++
			}
		}
		for _, tag := range it.Tags {
			if !has[string(tag)] {
				missing++
			}
		}
		if (len(it.Types) == 0 || rightTypes > 0) && missing == 0 {
			matching++
		}
	}
	return matching > 0
}

// Few terms, some of them awkward, so that random queries often match.
var (
	someTypes = rapid.SampledFrom([]string{"A", "B", "a", "A\x00", "\U0001F9AB"})
	someTags  = rapid.SampledFrom([]dcb.Tag{"a", "b", "A", "..", "\x00", "a\x00"})
	someItem  = rapid.Custom(func(t *rapid.T) dcb.QueryItem {
		it := dcb.QueryItem{Types: rapid.SliceOfN(someTypes, 0, 3).Draw(t, "types"), Tags: rapid.SliceOfN(someTags, 0, 3).Draw(t, "tags")}
		if len(it.Types)+len(it.Tags) == 0 {
			it.Types = []string{"A"}
		}
		return it
	})
	someItems = rapid.SliceOfN(someItem, 1, 4)
	someEvent = rapid.Custom(func(t *rapid.T) dcb.Event {
		return dcb.Event{Type: someTypes.Draw(t, "type"), Tags: rapid.SliceOfNDistinct(someTags, 0, 4, rapid.ID[dcb.Tag]).Draw(t, "tags")}
	})
)

func TestMatchesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items, e := someItems.Draw(t, "items"), someEvent.Draw(t, "event")
		q := dcb.Match(items...)
		require.NoError(t, q.Validate())
		require.NoError(t, e.Validate())
		require.Equal(t, model(items, e), q.Matches(e))
		require.Equal(t, items, q.Items())
		if len(items) == 1 && len(items[0].Tags) == 0 {
			require.Equal(t, model(items, e), dcb.ByTypes(items[0].Types...).Matches(e))
		}
		if len(items) == 1 && len(items[0].Types) == 0 {
			require.Equal(t, model(items, e), dcb.ByTags(items[0].Tags...).Matches(e))
		}
	})
}

func TestOrIsUnion(t *testing.T) {
	query := rapid.Custom(func(t *rapid.T) dcb.Query {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return dcb.Query{}
		case 1:
			return dcb.AllEvents()
		case 2:
			return dcb.Match()
		}
		return dcb.Match(someItems.Draw(t, "items")...)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c, e := query.Draw(t, "a"), query.Draw(t, "b"), query.Draw(t, "c"), someEvent.Draw(t, "event")
		require.Equal(t, a.Matches(e) || b.Matches(e), a.Or(b).Matches(e))
		require.Equal(t, a.Or(b.Or(c)), a.Or(b).Or(c), "associative")
		require.Equal(t, a, a.Or(dcb.Query{}), "zero is neutral")
		require.Equal(t, a, dcb.Query{}.Or(a))
		require.Equal(t, a.IsAll() || b.IsAll(), a.Or(b).IsAll())
		require.Equal(t, a.IsZero() && b.IsZero(), a.Or(b).IsZero())
		if !a.Or(b).IsAll() {
			require.Equal(t, slices.Concat(a.Items(), b.Items()), a.Or(b).Items(), "order is kept")
		}
	})
}

func TestKindsOfQuery(t *testing.T) {
	for _, c := range []struct {
		name      string
		query     dcb.Query
		all, zero bool
		items     int
	}{
		{"zero", dcb.Query{}, false, true, 0},
		{"all", dcb.AllEvents(), true, false, 0},
		{"without items", dcb.Match(), false, false, 0},
		{"two items", dcb.ByTypes("A").Or(dcb.ByTags("a")), false, false, 2},
	} {
		require.Equal(t, c.all, c.query.IsAll(), c.name)
		require.Equal(t, c.zero, c.query.IsZero(), c.name)
		require.Len(t, c.query.Items(), c.items, c.name)
	}
	require.Nil(t, dcb.AllEvents().Items())
	require.Nil(t, dcb.Query{}.Items())
}

// A query that changed under a condition would guard something else than what was asked for.
func TestQueryIsImmutable(t *testing.T) {
	want := []dcb.QueryItem{{Types: []string{"A", "B"}, Tags: []dcb.Tag{"a"}}, {Tags: []dcb.Tag{"b"}}}
	deface := func(items []dcb.QueryItem) {
		for i := range items {
			for j := range items[i].Types {
				items[i].Types[j] = "changed"
			}
			for j := range items[i].Tags {
				items[i].Tags[j] = "changed"
			}
			items[i] = dcb.QueryItem{}
		}
	}
	given := []dcb.QueryItem{{Types: []string{"A", "B"}, Tags: []dcb.Tag{"a"}}, {Tags: []dcb.Tag{"b"}}}
	q := dcb.Match(given...)
	deface(given)
	require.Equal(t, want, q.Items(), "the arguments of Match are copied")
	deface(q.Items())
	require.Equal(t, want, q.Items(), "Items returns a copy")

	union := q.Or(dcb.ByTypes("C"))
	other := q.Or(dcb.ByTypes("D"))
	require.Equal(t, []string{"C"}, union.Items()[2].Types, "two unions of one query share no room to grow")
	require.Equal(t, []string{"D"}, other.Items()[2].Types)
	require.Equal(t, want, q.Items(), "Or leaves its receiver alone")

	types, tags := []string{"A"}, []dcb.Tag{"a"}
	byTypes, byTags := dcb.ByTypes(types...), dcb.ByTags(tags...)
	types[0], tags[0] = "changed", "changed"
	require.True(t, byTypes.Matches(event("A")))
	require.True(t, byTags.Matches(event("T", "a")))
}

func TestTermsVisitsItemsInOrder(t *testing.T) {
	q := dcb.Match(dcb.QueryItem{Types: []string{"A", "B"}, Tags: []dcb.Tag{"a"}}, dcb.QueryItem{Tags: []dcb.Tag{"b", "c"}})
	var got []dcb.QueryItem
	q.Terms(func(types []string, tags []dcb.Tag) {
		got = append(got, dcb.QueryItem{Types: slices.Clone(types), Tags: slices.Clone(tags)})
	})
	require.Equal(t, q.Items(), got)
	dcb.AllEvents().Terms(func([]string, []dcb.Tag) { t.Fatal("AllEvents has no items") })
}

func TestConditionFailedError(t *testing.T) {
	for _, c := range []struct {
		exists    bool
		is, isNot error
		text      string
	}{
		{false, dcb.ErrConditionFailed, dcb.ErrAlreadyExists, "append condition failed: event 42 matches"},
		{true, dcb.ErrAlreadyExists, dcb.ErrConditionFailed, "a matching event already exists: event 42 matches"},
	} {
		err := fmt.Errorf("append: %w", &dcb.ConditionFailedError{Position: 42, Exists: c.exists})
		require.ErrorIs(t, err, c.is)
		require.NotErrorIs(t, err, c.isNot)
		require.EqualError(t, err, "append: "+c.text)
		var details *dcb.ConditionFailedError
		require.ErrorAs(t, err, &details)
		require.Equal(t, dcb.Position(42), details.Position)
		require.Equal(t, c.exists, details.Exists)
	}
}

func TestCorruptError(t *testing.T) {
	err := fmt.Errorf("read: %w", &dcb.CorruptError{File: "wal/7", Offset: 512, Reason: "checksum of events 3 to 9"})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
	require.EqualError(t, err, "read: store is corrupt: wal/7 at offset 512: checksum of events 3 to 9")
	var details *dcb.CorruptError
	require.ErrorAs(t, err, &details)
	require.Equal(t, dcb.CorruptError{File: "wal/7", Offset: 512, Reason: "checksum of events 3 to 9"}, *details)
}

// Only the narrow sentinels are also broader ones, and none is another.
func TestSentinelsAreDistinct(t *testing.T) {
	invalidEvent := []error{dcb.ErrEmptyType, dcb.ErrTypeTooLong, dcb.ErrEmptyTag, dcb.ErrDuplicateTag, dcb.ErrTagTooLong, dcb.ErrTooManyTags, dcb.ErrNotUTF8, dcb.ErrTimeRange}
	invalidQuery := []error{dcb.ErrNoItems, dcb.ErrEmptyItem, dcb.ErrBadTerm, dcb.ErrTooManyItems, dcb.ErrNoClause, dcb.ErrBadLimit}
	tooLarge := []error{dcb.ErrTypeTooLong, dcb.ErrTagTooLong, dcb.ErrTooManyTags, dcb.ErrTooManyItems}
	texts := map[string]bool{}
	for _, a := range sentinels {
		require.False(t, texts[a.Error()], "two sentinels say %q", a)
		texts[a.Error()] = true
		for _, b := range sentinels {
			want := a == b ||
				b == dcb.ErrInvalidEvent && slices.Contains(invalidEvent, a) ||
				b == dcb.ErrInvalidQuery && slices.Contains(invalidQuery, a) ||
				b == dcb.ErrTooLarge && slices.Contains(tooLarge, a)
			require.Equal(t, want, errors.Is(a, b), "%q is %q", a, b)
		}
	}
}

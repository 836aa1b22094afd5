package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"opossum"
)

func item(types []string, tags ...opossum.Tag) opossum.QueryItem {
	return opossum.QueryItem{Types: types, Tags: tags}
}

func TestParseItem(t *testing.T) {
	for text, want := range map[string]opossum.QueryItem{
		`type=A`:                     item([]string{"A"}),
		`type=A,B`:                   item([]string{"A", "B"}),
		`tag=a`:                      item(nil, "a"),
		`tag=b tag=a`:                item(nil, "b", "a"),
		`tag=student:7 type=A,B`:     item([]string{"A", "B"}, "student:7"),
		" \t\ntag=a \u00a0 tag=b\n":  item(nil, "a", "b"),
		`tag="a b"`:                  item(nil, "a b"),
		`tag="a,b" tag=","`:          item(nil, "a,b", ","),
		`type="A,B","C D",E`:         item([]string{"A,B", "C D", "E"}),
		`tag="\"\\\n\x41\u00e9\101"`: item(nil, "\"\\\nAéA"),
		`tag="\xc3\xa9"`:             item(nil, "é"),
		`tag=a\nb tag=\`:             item(nil, `a\nb`, `\`),
		`tag==`:                      item(nil, "="),
		`tag=tag=a type=type=`:       item([]string{"type="}, "tag=a"),
		`tag='a'`:                    item(nil, "'a'"),
		`tag=🐾[]`:                    item(nil, "🐾[]"),
	} {
		got, err := parseItem(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		back, err := parseItem(formatItem(got))
		require.NoError(t, err, text)
		require.Equal(t, want, back, "printed as %s", formatItem(got))
	}
}

// The caret stands at what is wrong, and the first words say what that is.
func TestParseItemSaysWhatIsWrongAndWhere(t *testing.T) {
	long := strings.Repeat("x", 65_536)
	for _, c := range []struct{ text, caret, problem string }{
		{``, `^`, "the query is empty"},
		{`  `, `  ^`, "the query is empty"},
		{`course:c1`, `^`, "course:c1 has no key: expected type= or tag="},
		{`type=A foo=B`, `       ^`, "unknown key foo=: expected type= or tag="},
		{`Type=A`, `^`, "unknown key Type="},
		{`=A`, `^`, `unknown key ""=`},
		{`"tag"=A`, `^`, `unknown key "\"tag\""=`},
		{`type = A`, `^`, "type has no key"},
		{`tag=`, `    ^`, "empty value: expected a tag"},
		{`tag= a`, `    ^`, "empty value: expected a tag"},
		{`tag=""`, `    ^`, "empty value: expected a tag"},
		{`type=,A`, `     ^`, "empty value: expected a type"},
		{`type=A,`, `       ^`, "empty value: expected a type"},
		{`type=A, B`, `       ^`, "empty value: expected a type"},
		{`type=A,A`, `       ^`, "duplicate type A"},
		{`type=A type=B`, `       ^`, "a second type=: expected all types in the first, separated by commas"},
		{`tag=a tag="a"`, `          ^`, "duplicate tag a"},
		{`tag=a,b`, `     ^`, "a comma in a tag: expected a space and tag="},
		{`tag="a",b`, `       ^`, "a comma in a tag"},
		{`tag=a"b"`, `     ^`, "a quote inside of a value"},
		{`tag="a""b"`, `       ^`, "a quote inside of a value"},
		{`tag="a"b`, `       ^`, "something follows a closing quote: expected a space"},
		{`tag=b tag="a`, `          ^`, "unclosed quote"},
		{`tag="a\"`, `    ^`, "unclosed quote"},
		{`tag="a\`, `      ^`, "unknown escape"},
		{`tag="a\/"`, `      ^`, "unknown escape"},
		{`tag="\ud800"`, `     ^`, "unknown escape"},
		{`tag="\xff"`, `    ^`, "a tag that is not valid UTF-8"},
		{"tag=\xff", `    ^`, "a tag that is not valid UTF-8"},
		{"\xff=a", `^`, "unknown key"},
		{`type=A"b"`, `      ^`, "a quote inside of a value"},
		{`type=A,"B"b`, `          ^`, "something follows a closing quote"},
		{`tag="\n" foo`, `         ^`, "foo has no key"},
		{"tag=\"\n\" foo", `         ^`, "foo has no key"},         // the line end is shown as \n
		{`tag=é🐾 tag=漢 foo`, `               ^`, "foo has no key"}, // columns, not bytes
		{`type=` + long, `     ^`, "a type of 65,536 bytes: no event has one longer than 65,535"},
	} {
		_, err := parseItem(c.text)
		require.Error(t, err, c.text)
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 3, c.text)
		require.Contains(t, lines[0], c.problem, c.text)
		require.Equal(t, "  "+printable(c.text), lines[1])
		require.Equal(t, "  "+c.caret, lines[2], c.text)
	}
}

func TestParseItemKnowsTheLimitsOfQueries(t *testing.T) {
	var types, tags strings.Builder
	for i := range 4_097 {
		types.WriteString("," + string(rune(0x4e00+i)))
		tags.WriteString(" tag=" + string(rune(0x4e00+i)))
	}
	_, err := parseItem("type=" + types.String()[1:])
	require.ErrorContains(t, err, "more than 4,096 types")
	_, err = parseItem(tags.String())
	require.ErrorContains(t, err, "more than 4,096 tags")
}

// Whatever the text, parsing answers: with an item that a store accepts and that prints and parses back, or with a place.
func FuzzParseItem(f *testing.F) {
	for _, text := range []string{`type=A,B tag=course:c1`, `tag="a \"b\\" type="\u00e9"`, `tag="`, "tag=\xff", `foo=b`, ``} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseItem(text)
		if err != nil {
			var wrong *queryError
			require.ErrorAs(t, err, &wrong)
			require.True(t, wrong.at == len(text) || utf8.RuneStart(text[wrong.at]) || !utf8.ValidString(text))
			require.Len(t, strings.Split(err.Error(), "\n"), 3)
			return
		}
		require.NoError(t, opossum.Match(got).Validate())
		back, err := parseItem(formatItem(got))
		require.NoError(t, err)
		require.Equal(t, got, back)
	})
}

// Whatever an event can have as a type and tags can be asked for.
func FuzzFormatItem(f *testing.F) {
	f.Add("A", "a b", "course:c1")
	f.Add(`"`, `\`, "\x00")
	f.Add(",", "\u00a0", "\u2028🐾")
	f.Fuzz(func(t *testing.T, typ, first, second string) {
		want := item([]string{typ}, opossum.Tag(first), opossum.Tag(second))
		if (opossum.Event{Type: typ, Tags: want.Tags}).Validate() != nil {
			return
		}
		got, err := parseItem(formatItem(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestQueryFlag(t *testing.T) {
	var f queryFlag
	require.True(t, f.clause().IsZero(), "no clause")
	require.True(t, f.query().IsAll(), "all events")
	require.Empty(t, f.String(), "help shows no default")
	require.NoError(t, f.Set("type=A"))
	require.NoError(t, f.Set(`tag="a b"`))
	require.Error(t, f.Set("type="))
	want := opossum.Match(item([]string{"A"}), item(nil, "a b"))
	require.Equal(t, want, f.clause())
	require.Equal(t, want, f.query())
	require.Equal(t, `'type=A' or 'tag="a b"'`, f.String())
}

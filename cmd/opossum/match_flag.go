package main

import (
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"opossum"
)

// queryFlag is the value of a flag that takes a query: one item for each time that it is given.
type queryFlag struct{ items []opossum.QueryItem }

// Set adds an item.
func (f *queryFlag) Set(text string) error {
	item, err := parseItem(text)
	if err == nil {
		f.items = append(f.items, item)
	}
	return err
}

// Type is what help texts call the value.
func (f *queryFlag) Type() string { return "query" }

// String prints the items for a sentence: 'tag=a' or 'type=A tag=b'.
func (f *queryFlag) String() string {
	texts := make([]string, len(f.items))
	for i, item := range f.items {
		texts[i] = "'" + formatItem(item) + "'"
	}
	return strings.Join(texts, " or ")
}

func (f *queryFlag) given() bool { return len(f.items) > 0 }

// clause returns the query for a condition: the zero Query if the flag is not given.
func (f *queryFlag) clause() opossum.Query {
	if !f.given() {
		return opossum.Query{}
	}
	return opossum.Match(f.items...)
}

// query returns the query for a read: all events if the flag is not given.
func (f *queryFlag) query() opossum.Query {
	if !f.given() {
		return opossum.AllEvents()
	}
	return opossum.Match(f.items...)
}

// addQueryFlag gives cmd a flag that takes a query, and completes its keys.
func addQueryFlag(cmd *cobra.Command, f *queryFlag, name, usage string) {
	cmd.Flags().Var(f, name, usage+"; see 'opossum help query'")
	if err := cmd.RegisterFlagCompletionFunc(name, completeQuery); err != nil {
		panic(err) // the flag was defined a line above
	}
}

// completeQuery offers the keys that the last word can begin with. The values are the store's, which is not opened for it.
func completeQuery(_ *cobra.Command, _ []string, text string) (whole []cobra.Completion, _ cobra.ShellCompDirective) {
	start := strings.LastIndexFunc(text, unicode.IsSpace) + 1
	for _, key := range []string{"type=", "tag="} {
		if strings.HasPrefix(key, text[start:]) {
			whole = append(whole, text[:start]+key)
		}
	}
	return whole, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

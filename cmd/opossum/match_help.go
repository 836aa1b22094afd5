package main

import "github.com/spf13/cobra"

// queryHelp is the one description of the query syntax: `opossum help query`, and a section of README.md, which a test
// compares.
const queryHelp = `A query says which events are meant. It is one argument: words separated by spaces, all of which must be true of an event.

  type=A        its type is A
  type=A,B      its type is A or B; type= occurs once at most
  tag=T         it has the tag T; every further tag= requires one more tag

A flag that takes a query can be repeated: then an event matches if any of the queries does. Without --match, read and
tail mean all events.

A value that holds a space, a comma or a double quote stands in double quotes, with the escapes of Go: tag="a b",
tag="say \"x\"", type="two\nlines". Any other value may. Outside of quotes a backslash is a backslash. The types and tags
that read prints can be put behind type= and tag= as they are.

Values are compared byte by byte; there are no patterns. The shell wants the whole query in single quotes.`

const queryExamples = `  opossum read --dir demo-data --match 'type=StudentEnrolled tag=course:t1-7'
  opossum read --dir demo-data --match type=StudentRegistered,CourseCreated --match tag=student:t1-7
  opossum read --dir demo-data --match 'tag="with a space"'`

// newQueryTopic is a help topic, not a command: it does not run.
func newQueryTopic() *cobra.Command {
	return &cobra.Command{
		Use:     "query",
		Short:   "How to say which events are meant: --match and its relatives",
		Long:    queryHelp + "\n\nExamples:\n" + queryExamples, // cobra shows the examples of commands only
		Example: queryExamples,
	}
}

package page

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// fewRows is how many rows the numbers of a figure may have in Markdown: those of a minute, second by second, nobody reads.
const fewRows = 16

// Markdown renders the document for a repository. dir is where the pictures are, as seen from the Markdown file. The figures are images, their
// numbers folded beneath them, where they are few.
func (d Document) Markdown(dir string) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", plain(d.Title))
	if d.Lead != "" {
		fmt.Fprintf(&b, "\n%s\n", prose(d.Lead))
	}
	if len(d.Facts) > 0 {
		facts := Table{Words: true, Head: []string{"condition", "value"}}
		for _, f := range d.Facts {
			facts.Rows = append(facts.Rows, Row(f.Name, f.Value))
		}
		facts.markdown(&b)
	}
	for _, s := range d.Sections {
		fmt.Fprintf(&b, "\n## %s\n", plain(s.Title))
		for _, block := range s.Blocks {
			if block.Text != "" {
				fmt.Fprintf(&b, "\n%s\n", prose(block.Text))
			}
			if block.Note != "" {
				fmt.Fprintf(&b, "\n> %s\n", strings.ReplaceAll(prose(block.Note), "\n", "\n> "))
			}
			if f := block.Figure; f != nil {
				if err := f.Chart.Check(); err != nil {
					return nil, fmt.Errorf("figure %s: %w", f.Name, err)
				}
				fmt.Fprintf(&b, "\n![%s](%s)\n", plain(f.Chart.Title), path.Join(dir, f.Name+".svg"))
				folded(&b, numbers(f.Chart))
			}
			if block.Table != nil {
				block.Table.markdown(&b)
			}
		}
	}
	return []byte(b.String()), nil
}

// folded writes tables that are hidden until one asks for them.
func folded(b *strings.Builder, tables []Table) {
	if slices.ContainsFunc(tables, func(t Table) bool { return len(t.Rows) > fewRows }) {
		return
	}
	b.WriteString("\n<details><summary>The numbers</summary>\n")
	for _, t := range tables {
		t.markdown(b)
	}
	b.WriteString("\n</details>\n")
}

func (t Table) markdown(b *strings.Builder) {
	if t.Title != "" {
		fmt.Fprintf(b, "\n### %s\n", plain(t.Title))
	}
	b.WriteString("\n")
	row := func(cells []Cell) {
		for _, c := range cells {
			text := strings.ReplaceAll(strings.ReplaceAll(prose(c.Text), "|", `\|`), "\n", " ")
			switch {
			case text == "":
			case c.Best:
				text = "**" + text + "**"
			case c.Ours:
				text = "*" + text + "*"
			}
			fmt.Fprintf(b, "| %s ", text)
		}
		b.WriteString("|\n")
	}
	row(Row(t.Head...))
	align := "---:|" // of the columns after the first
	if t.Words {
		align = "---|"
	}
	b.WriteString("|---|" + strings.Repeat(align, max(0, len(t.Head)-1)) + "\n")
	for _, cells := range t.Rows {
		row(cells)
	}
}

var special = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "#", `\#`, "&", `\&`, "~", `\~`)

// plain escapes what Markdown would take for markup.
func plain(text string) string { return special.Replace(text) }

// prose escapes the same outside of code.
func prose(text string) string {
	var b strings.Builder
	for _, p := range split(text) {
		if p.code {
			b.WriteString("`" + p.text + "`")
		} else {
			b.WriteString(plain(p.text))
		}
	}
	return b.String()
}

type piece struct {
	text string
	code bool
}

// split cuts a text at its backquotes. One without a partner is a character like any other.
func split(text string) []piece {
	var out []piece
	for {
		before, rest, found := strings.Cut(text, "`")
		code, after, closed := strings.Cut(rest, "`")
		if !found || !closed || code == "" {
			return append(out, piece{text, false})
		}
		out = append(out, piece{before, false}, piece{code, true})
		text = after
	}
}

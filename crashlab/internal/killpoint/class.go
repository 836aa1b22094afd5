package killpoint

import (
	"fmt"
	"regexp"
	"strings"
)

// class is a kind of step on a sort of file, "rename index/N-N.idx": the kind, and the path in the store with N for any number, X for random
// digits, M for the name of a read model and S for that of a state. The store itself is ".", its parent "..".
type class string

// theEnd is the class of no step: a run that is to crash there comes to its end, and crashes then.
const theEnd class = "reach end"

var (
	randomName = regexp.MustCompile(`\.tmp-[0-9a-f-]+`)
	number     = regexp.MustCompile(`[0-9]+`)
	readModel  = regexp.MustCompile(`^(projections/(?:\.[a-z]+/)?)[a-z]+(/|-|$)`)
	stateFile  = regexp.MustCompile(`^((?:[^/]*/)*)[^/]*[^/0-9][^/]*\.json$`)
)

// classOf returns the class of a step. The path of an event file, or of a state, may be its bare name.
func classOf(store, kind, path string) class {
	switch rel, in := strings.CutPrefix(path, store+"/"); {
	case in:
		path = readModel.ReplaceAllString(rel, "${1}M$2")
		if path != rel {
			path = stateFile.ReplaceAllString(path, "${1}S.json")
		}
	case !strings.Contains(path, "/"): // bare
		path = stateFile.ReplaceAllString(path, "S.json")
	case path == store:
		path = "."
	case strings.HasPrefix(store, path+"/"):
		path = ".."
	}
	path = randomName.ReplaceAllString(path, ".tmp-X")
	return class(kind + " " + number.ReplaceAllString(path, "N"))
}

// kind is the word before the path.
func (c class) kind() string {
	kind, _, _ := strings.Cut(string(c), " ")
	return kind
}

// paths returns a regular expression for the paths of the class.
func (c class) paths(store string) string {
	_, path, _ := strings.Cut(string(c), " ")
	switch path {
	case ".":
		return "^" + regexp.QuoteMeta(store) + "$"
	case "..":
		return "^" + regexp.QuoteMeta(store[:strings.LastIndex(store, "/")]) + "$"
	}
	path = strings.NewReplacer("N", "[0-9]+", "X", "[0-9a-f-]+", "M", "[a-z]+", "S", "[^/]*[^/0-9][^/]*").Replace(regexp.QuoteMeta(path))
	return fmt.Sprintf("^(%s/)?%s$", regexp.QuoteMeta(store), path)
}

// modelSteps returns a regular expression for the paths of all that is done to read models.
func modelSteps(store string) string {
	return fmt.Sprintf(`^(%s/projections($|/)|[^/]*[^/0-9][^/]*\.json$|\.tmp-[^/]*$)`, regexp.QuoteMeta(store))
}

// point is where a case crashes: at the step number at of a class.
type point struct {
	class class
	when  string // before or after
	at    uint64
}

// pointOf numbers the points of a scenario: before the first step of every class, after it, before the second one, and so on.
func pointOf(classes []class, index uint64) point {
	n := uint64(len(classes))
	return point{class: classes[index%n], when: [...]string{"before", "after"}[index/n%2], at: index / n / 2}
}

func (p point) String() string { return fmt.Sprintf("%s %s number %d", p.when, p.class, p.at) }

// ends knows how many steps of each class a scenario has, as far as it has been seen. The zero value has seen nothing.
type ends struct{ least map[class]uint64 }

// note says that a run ended and met no step of that number.
func (e *ends) note(p point) {
	if e.least == nil {
		e.least = map[class]uint64{}
	}
	if n, ok := e.least[p.class]; !ok || p.at < n {
		e.least[p.class] = p.at
	}
}

// beyond reports whether p is known not to be, and over whether nothing is from p's round on.
func (e *ends) beyond(p point, classes []class) (beyond, over bool) {
	end := func(c class) bool {
		n, ok := e.least[c]
		return ok && p.at >= n
	}
	for _, c := range classes {
		if !end(c) {
			return end(p.class), false
		}
	}
	return true, true
}

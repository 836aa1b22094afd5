package opossum

import (
	"fmt"
	"strconv"
	"strings"

	"opossum/internal/name"
	"opossum/recovery"
)

// checkName returns an error that Is ErrInvalidOption, and says which rule is broken, unless name can be that of a context: it keeps the rules of package name,
// and is not a part of a store.
func checkName(context string) error {
	if err := name.Check("context", context); err != nil {
		return err
	}
	if recovery.IsPart(context) {
		return name.Refuse("context", context, "is that of a part of every store, which would make the root look like one")
	}
	return nil
}

// deletedPrefix begins the names of deleted contexts whose files are not yet removed. A context's name cannot begin with a dot.
const deletedPrefix = ".deleted-"

// deletedName returns a name for what is left of a deleted context. It takes a number that nobody takes again: somebody may still be removing the
// files of an earlier context of that name.
func deletedName(name string, unique uint64) string {
	return fmt.Sprintf("%s%s-%016x", deletedPrefix, name, unique)
}

// isDeletedName reports whether deletedName could have made entry.
func isDeletedName(entry string) bool {
	rest, ok := strings.CutPrefix(entry, deletedPrefix)
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 0 || checkName(rest[:i]) != nil {
		return false
	}
	unique, err := strconv.ParseUint(rest[i+1:], 16, 64)
	return err == nil && deletedName(rest[:i], unique) == entry
}

package opossum

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"opossum/recovery"
)

// maxName is the longest name of a context, in bytes. With what Delete puts around it, it stays within the 255 that file systems allow.
const maxName = 64

// devices are what Windows takes for a device in every directory, whatever follows behind a dot. Others, like CONIN$, have
// characters that no name may have.
var devices = strings.Fields("con prn aux nul com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt0 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9")

// checkName returns an error that Is ErrInvalidOption, and says which rule is broken, unless name can be that of a context: 1 to 64 bytes, lower-case
// ASCII letters, digits, '-', '_' and '.', the first a letter or a digit, the last not a dot; neither a device of Windows nor a part of a store.
func checkName(name string) error {
	bad := func(rule string) error {
		return fmt.Errorf("%w: the context name %.80q %s", ErrInvalidOption, name, rule)
	}
	if name == "" {
		return bad("is empty")
	}
	if len(name) > maxName {
		return bad(fmt.Sprintf("has %d bytes, at most %d are allowed", len(name), maxName))
	}
	for _, c := range name {
		switch {
		case isLetterOrDigit(c), c == '-', c == '_', c == '.':
		case 'A' <= c && c <= 'Z':
			return bad(fmt.Sprintf("has the upper-case letter %q: on some file systems %.80q would be the same name, so only lower case is allowed",
				c, strings.ToLower(name)))
		default:
			return bad(fmt.Sprintf("has the character %q, allowed are a to z, 0 to 9, '-', '_' and '.'", c))
		}
	}
	if !isLetterOrDigit(rune(name[0])) {
		return bad("does not begin with a letter or a digit")
	}
	if strings.HasSuffix(name, ".") {
		return bad("ends with a dot, which Windows drops")
	}
	if base, _, _ := strings.Cut(name, "."); slices.Contains(devices, base) {
		return bad(fmt.Sprintf("means the device %s on Windows", strings.ToUpper(base)))
	}
	if recovery.IsPart(name) {
		return bad("is that of a part of every store, which would make the root look like one")
	}
	return nil
}

func isLetterOrDigit(c rune) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

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

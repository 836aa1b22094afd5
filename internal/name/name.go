// Package name is what may be called so in the directory of a store, on every file system: contexts, read models.
package name

import (
	"fmt"
	"slices"
	"strings"

	"opossum/dcb"
)

// Max is the longest name, in bytes. With what is put around it for a while, it stays within the 255 that file systems allow.
const Max = 64

// Devices are what Windows takes for a device in every directory, whatever follows behind a dot. Others, like CONIN$, have
// characters that no name may have. Not to be changed.
var Devices = strings.Fields("con prn aux nul com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt0 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9")

// IsDevice reports whether a lower-case file name means a device on Windows.
func IsDevice(file string) bool {
	base, _, _ := strings.Cut(file, ".")
	return slices.Contains(Devices, base)
}

// Check returns an error that Is dcb.ErrInvalidOption, and says of what kind of thing the name is and which rule is broken, unless name has 1 to Max bytes, lower-case
// ASCII letters, digits, '-', '_' and '.', the first a letter or a digit, the last not a dot, and is no device of Windows.
func Check(kind, name string) error {
	bad := func(rule string) error { return Refuse(kind, name, rule) }
	if name == "" {
		return bad("is empty")
	}
	if len(name) > Max {
		return bad(fmt.Sprintf("has %d bytes, at most %d are allowed", len(name), Max))
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
	if IsDevice(name) {
		base, _, _ := strings.Cut(name, ".")
		return bad(fmt.Sprintf("means the device %s on Windows", strings.ToUpper(base)))
	}
	return nil
}

// Refuse returns the error of Check for a rule of the caller.
func Refuse(kind, name, rule string) error {
	return fmt.Errorf("%w: the %s name %.80q %s", dcb.ErrInvalidOption, kind, name, rule)
}

func isLetterOrDigit(c rune) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

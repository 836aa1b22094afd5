package projection

import (
	"crypto/sha256"
	"encoding/hex"

	"opossum/internal/name"
)

const (
	extension = ".json"
	// maxPlain is how many bytes a name may have before it is shortened: the whole stays below the 143 that encrypting file systems leave.
	maxPlain  = 120
	keptPlain = 48
)

// fileName returns the name of the file of a key. Different keys have different names, also where a file system takes upper and lower case, or different normal forms of
// Unicode, for the same: it is made of a to z, 0 to 9, '-', '_', '.', '%' and '~' alone. The usual key, a number, a UUID, a word, stays as it is; of others each byte that is
// not in that list is escaped as in a URL, with a percent sign and two lower-case hexadecimal digits. A name that would be hidden (a leading dot) or a device on Windows has
// its first byte escaped. A name that would be longer than maxPlain bytes is cut, and ends in a tilde and the SHA-256 of the key. REQUIRES: key is not empty.
//
// Different keys have different names because a name without a tilde can be decoded, a name with one differs from all without, and nobody has found two texts of one SHA-256.
func fileName(key string) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(key)+len(extension)+8)
	hide := key[0] == '.' || name.IsDevice(key)
	for i := 0; i < len(key) && len(out) <= maxPlain; i++ {
		if c := key[i]; isPlain(c) && !(i == 0 && hide) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	if len(out) > maxPlain {
		sum := sha256.Sum256([]byte(key))
		out = hex.AppendEncode(append(out[:keptPlain], '~'), sum[:])
	}
	return string(append(out, extension...))
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

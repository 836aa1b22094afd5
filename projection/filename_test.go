package projection

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/internal/name"
)

func TestFileNames(t *testing.T) {
	for key, want := range map[string]string{
		"c1": "c1.json", "42": "42.json", "0190b5a5-7c6e-7d3a-9f00-000000000001": "0190b5a5-7c6e-7d3a-9f00-000000000001.json", "a.b_c-d": "a.b_c-d.json",
		"C1": "%431.json", "course:c1": "course%3ac1.json", "a/b": "a%2fb.json", `a\b`: "a%5cb.json", "..": "%2e..json", ".hidden": "%2ehidden.json", "a.": "a..json", "a ": "a%20.json",
		"con": "%63on.json", "nul.x": "%6eul.x.json", "console": "console.json", "CON": "%43%4f%4e.json", "\x00": "%00.json", "\xff": "%ff.json", "é": "%c3%a9.json", "%41": "%2541.json",
		"~": "%7e.json", ".json": "%2ejson.json", "index": "index.json",
		strings.Repeat("a", 120): strings.Repeat("a", 120) + ".json",
	} {
		require.Equal(t, want, fileName(key), "%q", key)
	}
	require.Equal(t, strings.Repeat("a", 48)+"~e9615320128cc7a3d6078e9af05603188e5ccbf0d07d8b735d3df5e8e0c1281f.json", fileName(strings.Repeat("a", 121)))
}

var anyKey = rapid.OneOf(
	rapid.StringN(1, 40, -1),
	rapid.StringMatching(`[a-zA-Z0-9%~./\\: -]{1,12}`),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 300), func(b []byte) string { return string(b) }),
	rapid.Map(rapid.StringMatching(`[ab]{0,3}`), func(s string) string { return strings.Repeat("x", 119) + s }),
	rapid.SampledFrom(append([]string{"con", "con.a", "%63on", "Con", ".", "..", "%2e"}, name.Devices...)),
)

// Different keys have different names, on every file system.
func TestFileNamesOfDifferentKeysDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKey.Draw(t, "a"), anyKey.Draw(t, "b")
		for _, key := range []string{a, b} {
			n := fileName(key)
			require.Regexp(t, `^[a-z0-9_%-][a-z0-9._%~-]*\.json$`, n)
			require.LessOrEqual(t, len(n), 130)
			require.False(t, name.IsDevice(n), n)
			require.Equal(t, n, strings.ToLower(n))
		}
		if a != b {
			require.NotEqual(t, fileName(a), fileName(b))
		}
	})
}

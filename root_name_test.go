package opossum

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	namerules "opossum/internal/name"
)

func TestContextNames(t *testing.T) {
	long := strings.Repeat("n", namerules.Max)
	for _, name := range []string{
		"a", "0", "orders", "tenant-7", "tenant_7", "eu.west.1", "2026-11-23", "a..b", "a-", "a_", long,
		"console", "nul1", "com", "com10", "lpt", "auxiliary", "a.con", "lock", "store", "wal2",
	} {
		require.NoError(t, checkName(name), name)
	}
	for name, rule := range map[string]string{
		"":         "is empty",
		long + "n": "has 65 bytes, at most 64",
		"Orders":   `has the upper-case letter 'O': on some file systems "orders" would be the same name`,
		"ordersÄ":  `has the character 'Ä'`,
		"ſ":        "has the character", // folds to s
		"\u212a":   "has the character", // the sign of Kelvin folds to k
		"a b":      `has the character ' '`,
		"a/b":      `has the character '/'`,
		`a\b`:      "has the character",
		"../a":     `has the character '/'`,
		"c:":       `has the character ':'`,
		"a*":       "has the character",
		"a\x00":    "has the character",
		"a\n":      "has the character",
		"a\xff":    "has the character",
		"progra~1": "has the character '~'",
		".":        "does not begin",
		"..":       "does not begin",
		".hidden":  "does not begin",
		"-a":       "does not begin",
		"_a":       "does not begin",
		"a.":       "ends with a dot",
		"a..":      "ends with a dot",

		"con": "means the device CON", "con.txt": "means the device CON", "con.tar.gz": "means the device CON",
		"prn": "means the device PRN", "aux": "means the device AUX", "aux.h": "means the device AUX", "nul": "means the device NUL", "nul.nul": "means the device NUL",
		"com0": "means the device COM0", "com1": "means the device COM1", "com9.log": "means the device COM9",
		"lpt0": "means the device LPT0", "lpt1": "means the device LPT1", "lpt9.": "ends with a dot",
		"CON": "upper-case", "conin$": "has the character '$'", "conout$": "has the character '$'", "com¹": "has the character '¹'",

		"wal": "part of every store", "events": "part of every store", "index": "part of every store", "ledger.json": "part of every store",
		"ledger.json.tmp": "part of every store", "quarantine": "part of every store", "packs": "part of every store", "projections": "part of every store",
	} {
		err := checkName(name)
		require.ErrorIs(t, err, ErrInvalidOption, "%q", name)
		require.ErrorContains(t, err, rule, "%q", name)
		if len(name) <= namerules.Max {
			require.ErrorContains(t, err, fmt.Sprintf("name %q ", name))
		}
	}
	require.Less(t, len(checkName(strings.Repeat("x", 1<<20)).Error()), 300, "a message stays one")
}

func TestEveryDeviceOfWindowsIsRefused(t *testing.T) {
	require.Len(t, namerules.Devices, 24)
	for _, base := range namerules.Devices {
		for _, name := range []string{base, base + ".txt", base + ".a.b"} {
			require.ErrorContains(t, checkName(name), "means the device", name)
			require.NoError(t, checkName("x"+name))
			require.NoError(t, checkName(strings.Replace(name, base, base+"x", 1)))
		}
	}
}

func TestNamesOfDeletedContextsAreToldApart(t *testing.T) {
	const n = "0123456789abcdef"
	for _, name := range []string{".deleted-a-" + n, ".deleted-a-b-" + n, ".deleted-a--" + n, ".deleted-1-0000000000000000"} {
		require.True(t, isDeletedName(name), name)
	}
	for _, name := range []string{
		"", "a", "a-" + n, ".deleted", ".deleted-", ".deleted-a", ".deleted-" + n, ".deleted-a-", ".deleted-a-1", ".deleted-a-0" + n, ".deleted-a-+123456789abcdef",
		".deleted-a-0123456789ABCDEF", ".deleted-a-0123456789abcdeg", ".deleted-A-" + n, ".deleted--" + n, ".deleted-con-" + n, "x.deleted-a-" + n, ".deleted-../a-" + n,
	} {
		require.False(t, isDeletedName(name), name)
	}
}

// nameLike draws names, good and bad.
var nameLike = rapid.OneOf(
	goodName,
	rapid.StringN(0, 70, 100),
	rapid.StringOf(rapid.SampledFrom([]rune("aB9.-_/\\:~ \x00\u212aſ¹$"))),
	rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom(namerules.Devices).Draw(t, "device") + rapid.SampledFrom([]string{"", ".", ".txt", "x"}).Draw(t, "extension")
	}),
)

// goodName draws names that are accepted.
var goodName = rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]|[a-z0-9]`).Filter(func(s string) bool { return checkName(s) == nil })

// requirePortable fails if an accepted name is more, or less, than one element of a path on some system, or if another accepted one is the same somewhere.
func requirePortable(t require.TestingT, name, other string) {
	if checkName(name) != nil {
		require.ErrorIs(t, checkName(name), ErrInvalidOption)
		return
	}
	const dir = "/some/root"
	joined := filepath.Join(dir, name)
	require.Equal(t, dir+"/"+name, filepath.ToSlash(joined), "it is kept as it is")
	rel, err := filepath.Rel(dir, joined)
	require.NoError(t, err)
	require.Equal(t, name, rel)
	require.Equal(t, name, filepath.Base(joined))
	require.True(t, filepath.IsLocal(name))
	require.False(t, strings.ContainsAny(name, `/\:*?"<>|~$ `), "%q", name)
	require.NotContains(t, []string{".", ".."}, name)
	require.Equal(t, name, strings.TrimRight(name, ". "), "Windows would drop it")
	require.LessOrEqual(t, len(deletedName(name, 1<<63)), 255)
	require.Error(t, checkName(deletedName(name, 1)), "no context has the name of a deleted one")
	require.True(t, isDeletedName(deletedName(name, 1)))
	if other != name && checkName(other) == nil {
		require.NotEqual(t, strings.ToLower(name), strings.ToLower(other))
		require.False(t, strings.EqualFold(name, other), "%q and %q", name, other)
	}
}

func TestAnAcceptedNameIsOnePortableElementOfAPath(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := nameLike.Draw(rt, "name")
		other := rapid.OneOf(nameLike, rapid.Just(strings.ToUpper(name)), rapid.Just(strings.ToLower(name))).Draw(rt, "other")
		requirePortable(rt, name, other)
	})
}

func FuzzContextName(f *testing.F) {
	for _, name := range []string{"orders", "Orders", "../x", "con", "a.", "\u212a", strings.Repeat("x", 65)} {
		f.Add(name, strings.ToLower(name))
	}
	f.Fuzz(func(t *testing.T, name, other string) { requirePortable(t, name, other) })
}

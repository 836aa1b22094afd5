package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func testState() State {
	return State{
		Store: uuid.MustParse("0190b5a5-7c6e-7d3a-9f00-000000000001"), Epoch: 3, Materialized: 41,
		Clean: &End{Generation: 7, Offset: 123456, Sum: "00ff00ff00ff00ff", Head: 42},
	}
}

// seal puts a right checksum under a text, so that a test reaches what lies behind it.
func seal(body string) []byte {
	return fmt.Appendf([]byte(body), checksumLine, xxhash.Sum64String(body))
}

// TestGolden pins the text of version 1. No flag rewrites the files: a difference means a new version number.
func TestGolden(t *testing.T) {
	open := testState()
	open.Clean, open.Relaxed = nil, true
	for name, s := range map[string]State{"clean": testState(), "open": open} {
		want, err := os.ReadFile(filepath.Join("testdata", name+"-v1.json"))
		require.NoError(t, err)
		require.Equal(t, string(want), string(s.Encode()))
		got, err := Decode(want)
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
}

func drawState(t *rapid.T) State {
	u := rapid.Uint64()
	s := State{Epoch: u.Draw(t, "epoch"), Materialized: dcb.Position(u.Draw(t, "materialized")), Relaxed: rapid.Bool().Draw(t, "relaxed")}
	copy(s.Store[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "store"))
	s.Store[0] |= 1
	if rapid.Bool().Draw(t, "clean") {
		s.Clean = &End{
			Generation: u.Draw(t, "generation"), Offset: rapid.Int64().Draw(t, "offset"), Sum: rapid.String().Draw(t, "sum"),
			Head: dcb.Position(u.Draw(t, "head")),
		}
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		got, err := Decode(s.Encode())
		require.NoError(t, err)
		require.Equal(t, s, got)
	})
}

func TestEveryTruncationAndFlippedBit(t *testing.T) {
	text := testState().Encode()
	for n := range text {
		_, err := Decode(text[:n])
		require.Error(t, err, "cut at %d", n)
		require.NotErrorIs(t, err, dcb.ErrVersion, "cut at %d", n)
	}
	at := bytes.Index(text, []byte(`"version": 1`)) + len(`"version": `)
	newer := 0
	for bit := range 8 * len(text) {
		text[bit/8] ^= 1 << (bit % 8)
		_, err := Decode(text)
		require.Error(t, err, "bit %d", bit)
		if errors.Is(err, dcb.ErrVersion) {
			require.Equal(t, at, bit/8, "bit %d", bit)
			require.Greater(t, text[at], byte('1'))
			require.LessOrEqual(t, text[at], byte('9'))
			newer++
		}
		text[bit/8] ^= 1 << (bit % 8)
	}
	require.Equal(t, 3, newer, "1 becomes 3, 5 and 9")
	_, err := Decode(append(text, '\n'))
	require.Error(t, err)
}

func TestDecodeRefuses(t *testing.T) {
	good := string(testState().Encode())
	body := good[:strings.Index(good, `  "checksum"`)]
	_, err := Decode(seal(body))
	require.NoError(t, err)

	for name, text := range map[string][]byte{
		"nothing":           nil,
		"another format":    seal(strings.Replace(body, formatName, "opossum-index", 1)),
		"version 0":         seal(strings.Replace(body, `"version": 1`, `"version": 0`, 1)),
		"no store":          seal(strings.Replace(body, "0190b5a5-7c6e-7d3a-9f00-000000000001", uuid.Nil.String(), 1)),
		"a foreign field":   seal(strings.Replace(body, `"relaxed"`, `"relaxes"`, 1)),
		"a missing field":   seal(strings.Replace(body, "  \"materialized\": 41,\n", "", 1)),
		"a field twice":     seal(strings.Replace(body, `"epoch": 3`, `"epoch": 3, "epoch": 4`, 1)),
		"other spaces":      seal(strings.Replace(body, `"epoch": 3`, `"epoch":3`, 1)),
		"more behind":       seal(body + "{}\n"),
		"a negative number": seal(strings.Replace(body, `"epoch": 3`, `"epoch": -3`, 1)),
		"no object":         seal("[\n"),
		"windows line ends": []byte(strings.ReplaceAll(good, "\n", "\r\n")),
		"no checksum":       []byte(body[:len(body)-2] + "\n}\n"),
		"empty checksum":    []byte(body + "  \"checksum\": \"\"\n}\n"),
		"only the sum":      seal(""),
		"another, newer":    []byte(`{"format": "opossum-index", "version": 17}`),
		"of another text":   []byte(strings.Replace(good, `"epoch": 3`, `"epoch": 4`, 1)),
	} {
		_, err := Decode(text)
		require.Error(t, err, name)
		require.NotErrorIs(t, err, dcb.ErrVersion, name)
	}
	for name, text := range map[string]string{
		"version 2":                   strings.Replace(good, `"version": 1`, `"version": 2`, 1),
		"with another kind of checks": `{"format": "opossum-ledger", "version": 17, "sha256": ""}`,
	} {
		_, err := Decode([]byte(text))
		require.ErrorIs(t, err, dcb.ErrVersion, name)
		require.ErrorContains(t, err, "this program knows 1")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, dcb.ErrCorrupt)

	require.NoError(t, Store(dir, testState()))
	got, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, testState(), got)

	path := filepath.Join(dir, FileName)
	text := testState().Encode()
	require.NoError(t, os.WriteFile(path, text[:len(text)/2], 0o644))
	_, err = Load(dir)
	var corrupt *dcb.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, path, corrupt.File)

	require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(`"version": 1`), []byte(`"version": 9`), 1), 0o644))
	_, err = Load(dir)
	require.ErrorIs(t, err, dcb.ErrVersion)
	require.NotErrorIs(t, err, dcb.ErrCorrupt, "newer is not damaged")
	require.ErrorContains(t, err, path)

	require.NoError(t, os.WriteFile(path, make([]byte, len(text)), 0o644))
	_, err = Load(dir)
	require.ErrorIs(t, err, dcb.ErrCorrupt, "zeroes, as a power cut may leave them")
}

// TestStoreIsAtomic reads all the time while the file is replaced: always one state or the other, and never an older one again.
func TestStoreIsAtomic(t *testing.T) {
	dir := t.TempDir()
	s := testState()
	require.NoError(t, Store(dir, s))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := dcb.Position(0); ; {
			got, err := Load(dir)
			if err != nil || got.Materialized < last || got.Clean.Head != got.Materialized+1 {
				t.Errorf("%+v %v after %d", got, err, last)
				return
			}
			last = got.Materialized
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range rounds(200) {
		s.Materialized++
		s.Clean = &End{Head: s.Materialized + 1, Sum: strings.Repeat("0", int(s.Materialized%50))}
		if err := Store(dir, s); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
	got, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, s, got)
}

func TestLeftoverTemp(t *testing.T) {
	dir := t.TempDir()
	found, err := RemoveTemp(dir)
	require.NoError(t, err)
	require.False(t, found)

	require.NoError(t, Store(dir, testState()))
	temp := filepath.Join(dir, tempName)
	require.NoError(t, os.WriteFile(temp, bytes.Repeat([]byte("longer than a state is\n"), 100), 0o644))
	got, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, testState(), got, "what is half written is not looked at")
	s := testState()
	s.Epoch++
	require.NoError(t, Store(dir, s))
	got, err = Load(dir)
	require.NoError(t, err)
	require.Equal(t, s, got, "and is overwritten")

	require.NoError(t, os.WriteFile(temp, nil, 0o644))
	found, err = RemoveTemp(dir)
	require.NoError(t, err)
	require.True(t, found)
	require.NoFileExists(t, temp)
}

// TestStoreFails: the old state stands, whatever is in the way of the new one.
func TestStoreFails(t *testing.T) {
	for name, obstruct := range map[string]func(t *testing.T, dir string) (free func()){
		"no temporary file": func(t *testing.T, dir string) func() {
			temp := filepath.Join(dir, tempName)
			require.NoError(t, os.MkdirAll(filepath.Join(temp, "x"), 0o755))
			return func() { require.NoError(t, os.RemoveAll(temp)) }
		},
		"no rename": func(t *testing.T, dir string) func() {
			path, aside := filepath.Join(dir, FileName), filepath.Join(dir, "aside")
			require.NoError(t, os.Rename(path, aside))
			require.NoError(t, os.MkdirAll(filepath.Join(path, "x"), 0o755))
			return func() {
				require.NoError(t, os.RemoveAll(path))
				require.NoError(t, os.Rename(aside, path))
			}
		},
		"read-only directory": func(t *testing.T, dir string) func() {
			if os.Geteuid() == 0 { // whom permissions do not stop: take the directory away instead
				require.NoError(t, os.Rename(dir, dir+".away"))
				return func() { require.NoError(t, os.Rename(dir+".away", dir)) }
			}
			require.NoError(t, os.Chmod(dir, 0o555))
			return func() { require.NoError(t, os.Chmod(dir, 0o755)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.NoError(t, Store(dir, testState()))
			free := obstruct(t, dir)
			s := testState()
			s.Epoch++
			require.ErrorContains(t, Store(dir, s), "ledger: store: ")
			free()
			got, err := Load(dir)
			require.NoError(t, err)
			require.Equal(t, testState(), got)
			require.NoError(t, Store(dir, s))
			got, err = Load(dir)
			require.NoError(t, err)
			require.Equal(t, s, got)
		})
	}
}

// FuzzDecode: no text makes it panic, and what it believes it would write again.
func FuzzDecode(f *testing.F) {
	text := testState().Encode()
	body := text[:bytes.LastIndex(text, []byte(`  "checksum"`))]
	f.Add(text, false)
	f.Add(body, true)
	f.Add([]byte("{\n  \"format\": \"opossum-ledger\",\n  \"version\": 2\n}"), false)
	f.Add([]byte("{}"), true)
	f.Fuzz(func(t *testing.T, text []byte, sealed bool) {
		if sealed {
			text = seal(string(text))
		}
		s, err := Decode(text)
		if err != nil {
			require.Zero(t, s)
			return
		}
		require.Equal(t, string(text), string(s.Encode()), "a state has one text")
	})
}

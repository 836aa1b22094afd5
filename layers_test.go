package opossum_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// layers is the house, from the ground up: a package imports only packages on earlier lines, never a sibling.
// ARCHITECTURE.md draws the same picture.
var layers = []string{
	"dcb internal/histogram internal/step internal/testmount",
	"internal/codec internal/lock internal/name internal/segment internal/workload",
	"internal/pack",
	"wal ledger internal/index internal/eventfile internal/storage",
	"internal/sequencer internal/follower materializer query recovery decision projection",
	".",
	"metrics tracing",
	"examples/internal/payload",
	"examples/internal/scenario examples/internal/shell",
	"examples/course-subscriptions examples/unique-username examples/invoice-number examples/opt-in-token examples/dynamic-product-price " +
		"examples/prevent-record-duplication examples/event-sourced-aggregate",
	"bench/chart bench/harness crashlab/internal/host crashlab/internal/invariant crashlab/internal/lab crashlab/internal/readmodel crashlab/internal/variant",
	"bench/page crashlab/internal/blockdisk crashlab/internal/child crashlab/mutate",
	"crashlab/worker crashlab/internal/blockreplay crashlab/internal/diskerror crashlab/internal/ioerror crashlab/internal/killpoint crashlab/internal/powercut " +
		"crashlab/internal/race crashlab/internal/rot crashlab/internal/story",
	"crashlab/internal/sabotage",
	"bench bench/compare bench/table cmd/opossum crashlab",
}

const module = "opossum"

func floors(t *testing.T) map[string]int {
	floor := make(map[string]int)
	for i, line := range layers {
		for _, pkg := range strings.Fields(line) {
			require.NotContains(t, floor, pkg, "a package has one place")
			floor[pkg] = i
		}
	}
	return floor
}

// imports returns, for each package of the module, the packages of the module that its non-test files import. It parses
// the files itself: a test that asks the go command gets stale answers from the test cache.
func imports(t *testing.T, root string) map[string][]string {
	out := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || hasGoMod(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		out[pkg] = append(out[pkg], []string{}...)
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if target == module {
				out[pkg] = append(out[pkg], ".")
			} else if own, ok := strings.CutPrefix(target, module+"/"); ok {
				out[pkg] = append(out[pkg], own)
			}
		}
		return nil
	})
	require.NoError(t, err)
	return out
}

func hasGoMod(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// misplaced lists what breaks the house.
func misplaced(floor map[string]int, imports map[string][]string) []string {
	var wrong []string
	for pkg, targets := range imports {
		at, ok := floor[pkg]
		if !ok {
			wrong = append(wrong, pkg+" has no place in the house")
			continue
		}
		for _, target := range targets {
			if below, ok := floor[target]; !ok || below >= at {
				wrong = append(wrong, pkg+" imports "+target+", which is not below it")
			}
		}
	}
	return wrong
}

func TestImportsFlowDown(t *testing.T) {
	found := imports(t, ".")
	require.Contains(t, found, ".", "the walk must have seen the root package")
	require.Empty(t, misplaced(floors(t), found))
}

func TestTheHouseNoticesArrowsThatPointUpOrSideways(t *testing.T) {
	floor := floors(t)
	require.Len(t, misplaced(floor, map[string][]string{"dcb": {"wal"}}), 1, "up")
	require.Len(t, misplaced(floor, map[string][]string{"query": {"recovery"}}), 1, "sideways")
	require.Len(t, misplaced(floor, map[string][]string{"drawer": nil}), 1, "homeless")
	require.Empty(t, misplaced(floor, map[string][]string{"query": {"wal", "dcb"}}))
}

// embedded are the modules that a program compiles when it embeds the engine. Each is a decision: a new one is argued
// for in ARCHITECTURE.md, and heavy ones (plots, servers, rival stores) never join.
var embedded = []string{
	"github.com/HdrHistogram/hdrhistogram-go", // flush times: quantiles that are exact at every magnitude
	"github.com/cespare/xxhash/v2",            // checksums
	"github.com/gofrs/flock",                  // the directory's lock, on every platform
	"github.com/google/uuid",                  // event and store identities
	"github.com/klauspost/compress",           // zstd, of packs
	"github.com/tidwall/gjson",                // of tidwall/wal
	"github.com/tidwall/match",                // of tidwall/gjson
	"github.com/tidwall/pretty",               // of tidwall/gjson
	"github.com/tidwall/tinylru",              // of tidwall/wal
	"github.com/tidwall/wal",                  // the log's file
	"golang.org/x/sync",                       // errgroup
	"golang.org/x/sys",                        // fdatasync, syncfs, O_TMPFILE
}

func TestEmbeddersCompileOnlyWhatIsListed(t *testing.T) {
	// The go command reads files that the test cache cannot see it read; reading them here makes a cached pass expire.
	for _, f := range []string{"go.mod", "go.sum"} {
		_, err := os.ReadFile(f)
		require.NoError(t, err)
	}
	imports(t, ".")
	require.Equal(t, embedded, modulesOf(t, "."))
}

// exporting are the modules that the exporters add. Programs that use none compile none of them; spans need the API of OpenTelemetry alone.
var exporting = map[string][]string{
	"./metrics": {
		"github.com/beorn7/perks",             // of client_golang
		"github.com/munnerz/goautoneg",        // of prometheus/common
		"github.com/prometheus/client_golang", // metrics for Prometheus
		"github.com/prometheus/client_model",  // of client_golang
		"github.com/prometheus/common",        // of client_golang
		"github.com/prometheus/procfs",        // of client_golang
		"google.golang.org/protobuf",          // of client_golang
	},
	"./tracing": {
		"go.opentelemetry.io/otel",       // attributes and status codes
		"go.opentelemetry.io/otel/trace", // spans
	},
}

func TestExportersAddOnlyWhatIsListed(t *testing.T) {
	imports(t, ".") // see above
	for pkg, more := range exporting {
		require.ElementsMatch(t, append(slices.Clone(embedded), more...), modulesOf(t, pkg), pkg)
	}
}

// modulesOf lists the other modules that pkg and everything it imports come from, for all platforms that are supported.
func modulesOf(t *testing.T, pkg string) []string {
	var all []string
	for _, goos := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", pkg)
		cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		require.NoError(t, err)
		all = append(all, strings.Fields(string(out))...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Mutate asks whether the tests would notice a bug: it puts small ones into the packages that must not have any, one at a time, and runs the tests
// that reach the place. It prints the mutants that survive, and a table. docs/mutants.md tells what came of it.
//
// The tree is not touched: mutants are an overlay of a build.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/build"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"opossum/crashlab/internal/variant"
)

// judges are the tests of other packages that a mutant must survive as well, by package: those that would see the bug if its own do not.
var judges = map[string][]suiteSpec{
	"wal":                {{"./recovery", "."}, {"./internal/sequencer", "."}, {"./internal/follower", "."}, engine},
	"ledger":             {{"./recovery", "."}, {"./internal/sequencer", "."}, engine},
	"recovery":           {engine},
	"internal/sequencer": {engine},
	"internal/pack":      {{"./internal/eventfile", "."}, {"./recovery", "Pack"}, engine},
}

type suiteSpec struct{ pkg, run string }

// engine are the tests of the root that crash, damage or race; the others take long, and have other aims.
var engine = suiteSpec{".", "Crash|Damage|Killed|Verify|Repair|Recover|Condition|History|Oracle|Pack"}

// judged is where the list of harmless survivors stands.
const judged = "docs/mutants.md"

func main() {
	seed := flag.Uint64("seed", 1, "choose the sample by this seed")
	sample := flag.Int("sample", 150, "this many mutants of each package; 0: all")
	only := flag.String("only", "", "only the mutants of one line, as file:line")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "mutate [flags] [package ...]    (such as wal; without one: all that have judges)")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Args(), *seed, *sample, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pkgs []string, seed uint64, sample int, only string) error {
	root, err := variant.Root()
	if err != nil {
		return err
	}
	if len(pkgs) == 0 {
		pkgs = []string{"wal", "ledger", "recovery", "internal/sequencer", "internal/pack"}
	}
	if file, _, ok := strings.Cut(only, ":"); ok {
		pkgs, sample = []string{filepath.ToSlash(filepath.Dir(file))}, 0
	}
	list, err := os.ReadFile(filepath.Join(root, judged))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	harmless := judgedHarmless(string(list))
	scratch, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	fmt.Printf("seed %d, sample %d\n", seed, sample)
	var all []score
	defer func() { fmt.Print(table(all)) }()
	for _, pkg := range pkgs {
		s, err := scorePackage(ctx, root, pkg, scratch, harmless, func(mutants []mutant) []mutant { return choose(mutants, seed, sample, only) })
		if err != nil {
			return fmt.Errorf("%s: %w", pkg, err)
		}
		all = append(all, s)
	}
	return nil
}

// choose takes the sample, which depends on nothing but the code and the seed.
func choose(all []mutant, seed uint64, sample int, only string) []mutant {
	if only != "" {
		return slices.DeleteFunc(all, func(m mutant) bool { return fmt.Sprintf("%s:%d", m.file, m.line) != only })
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if sample > 0 && sample < len(all) {
		all = all[:sample]
	}
	return all
}

// scorePackage judges the chosen mutants of a package, some at a time: those that hang leave processors idle.
func scorePackage(ctx context.Context, root, pkg, scratch string, harmless map[string]bool, choose func([]mutant) []mutant) (score, error) {
	texts, all, err := enumerate(root, pkg)
	if err != nil {
		return score{}, err
	}
	s := score{pkg: pkg, all: len(all)}
	chosen := choose(all)
	sources := &schema{root: root, pkg: pkg, texts: texts, mutants: chosen, alone: map[int]bool{}}
	overlay, err := sources.settle(ctx, scratch)
	if err != nil {
		return score{}, err
	}
	var suites []*suite
	for _, spec := range append([]suiteSpec{{"./" + pkg, "."}}, judges[pkg]...) {
		one, err := measure(ctx, root, spec.pkg, spec.run, overlay, scratch)
		if err != nil {
			return score{}, err
		}
		suites = append(suites, one)
	}
	outcomes := make([]outcome, len(chosen))
	var workers errgroup.Group
	workers.SetLimit(2 * runtime.NumCPU())
	for i := range chosen {
		workers.Go(func() error {
			own, err := os.MkdirTemp(scratch, "mutant-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(own)
			o, err := trial(ctx, suites, sources, i+1, own)
			if err != nil {
				return err
			}
			o.harmless = harmless[chosen[i].name()]
			outcomes[i] = o
			if o.compiles && !o.killed {
				fmt.Println(o.fate(), chosen[i].name(), fmt.Sprintf("(line %d)", chosen[i].line))
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return score{}, err
	}
	for _, o := range outcomes {
		s.count(o)
	}
	return s, nil
}

// enumerate lists the mutants of the files that are built on this system, which are the ones that its tests can judge.
func enumerate(root, pkg string) (texts map[string]string, all []mutant, err error) {
	system := build.Default
	system.BuildTags = []string{tags}
	info, err := system.ImportDir(filepath.Join(root, pkg), 0)
	if err != nil {
		return nil, nil, err
	}
	texts = map[string]string{}
	for _, name := range info.GoFiles {
		file := pkg + "/" + name
		if name == "meter.go" { // progress, for people
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, nil, err
		}
		found, err := mutants(file, string(text))
		if err != nil {
			return nil, nil, err
		}
		texts[file] = string(text)
		all = append(all, found...)
	}
	return texts, all, nil
}

// trial gives mutant number i to the suites, its own package's first, until one kills it.
func trial(ctx context.Context, suites []*suite, sources *schema, i int, scratch string) (outcome, error) {
	o := outcome{compiles: true}
	for k, s := range suites {
		var v verdict
		var err error
		if sources.alone[i] {
			m := sources.mutants[i-1]
			v, err = s.judgeAlone(ctx, m, sources.texts[m.file], scratch)
		} else {
			v, err = s.judge(ctx, i, scratch)
		}
		if errors.Is(err, errDoesNotCompile) && ctx.Err() == nil {
			return outcome{}, nil
		}
		if err != nil {
			return o, err
		}
		o.reached = o.reached || v.reached
		o.killed, o.timeout, o.others = v.killed, v.timeout, k > 0
		if v.killed {
			break
		}
	}
	return o, nil
}

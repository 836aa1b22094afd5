package opossum_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// stepPackage is where the engine changes the disk, so that the crash lab can stop it at every change.
const stepPackage = module + "/internal/step"

// changing are the functions and methods that change the disk, by their full names. Those of package os that only open or
// look are not among them.
var changing = slices.Concat(
	named("os.", "Chmod Chown Chtimes CopyFS Create CreateTemp Lchown Link Mkdir MkdirAll MkdirTemp Remove RemoveAll Rename Symlink Truncate WriteFile OpenRoot"),
	named("(*os.File).", "Chmod Chown ReadFrom Sync Truncate Write WriteAt WriteString"),
	named("golang.org/x/sys/unix.", "Creat Fallocate Fchmod Fchmodat Fdatasync Fsync Ftruncate Link Linkat Mkdir Mkdirat Mknod Mknodat Pwrite Pwritev "+
		"Pwritev2 Rename Renameat Renameat2 Rmdir Sendfile CopyFileRange Symlink Symlinkat Sync SyncFileRange Syncfs Truncate Unlink Unlinkat Write Writev"),
	named("syscall.", "Creat Fallocate Fdatasync Fsync Ftruncate Link Mkdir Mkdirat Pwrite Rename Renameat Rmdir Symlink Sync Truncate Unlink Unlinkat Write"),
	named("github.com/tidwall/wal.", "Open"),
	named("(*github.com/tidwall/wal.Log).", "Close Sync TruncateBack TruncateFront Write WriteBatch"),
	named("(*github.com/gofrs/flock.Flock).", "Lock TryLock TryLockContext"),
)

// opening are the functions that change the disk if their flags say so, with the index of the flags.
var opening = map[string]int{
	"os.OpenFile": 1, "golang.org/x/sys/unix.Open": 1, "golang.org/x/sys/unix.Openat": 2, "syscall.Open": 1, "syscall.Openat": 2,
}

const changingFlags = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY

func named(prefix, names string) []string {
	var out []string
	for _, name := range strings.Fields(names) {
		out = append(out, prefix+name)
	}
	return out
}

// unstepped are the functions that may change the disk without a step. The lock file tells a person who holds the store; nothing is read from it
// that a crash could falsify.
var unstepped = []string{"acquire"}

// lockPackage is where they are.
const lockPackage = module + "/internal/lock"

// TestEveryChangeOfTheDiskIsAStep: what is no step is a moment at which the crash lab never crashed the engine.
func TestEveryChangeOfTheDiskIsAStep(t *testing.T) {
	imports(t, ".") // reads the files, so that a cached pass of this test expires
	imported := exports(t)
	for pkg, files := range engineFiles(t) {
		if pkg != stepPackage {
			require.Empty(t, changes(t, imported, pkg, files, nil), "%s changes the disk outside package step", pkg)
		}
	}
}

func TestAChangeOfTheDiskThatIsNoStepIsNoticed(t *testing.T) {
	imported := exports(t)
	for what, body := range map[string]string{
		"os.Rename":                           `_ = os.Rename("a", "b")`,
		"(*os.File).Sync":                     `_ = f.Sync()`,
		"(*os.File).Write":                    `step.Rename("a", "b"); defer f.Write(nil)`,
		"os.RemoveAll":                        `do := os.RemoveAll; _ = do("a")`, // by another name
		"os.OpenFile":                         `_, _ = os.OpenFile("a", os.O_RDWR|os.O_CREATE, 0)`,
		"golang.org/x/sys/unix.Openat":        `_, _ = unix.Openat(3, ".", flags, 0)`, // who knows
		"golang.org/x/sys/unix.Linkat":        `_ = func() error { return unix.Linkat(1, "a", 2, "b", 0) }()`,
		"(*github.com/tidwall/wal.Log).Write": `_ = l.Write(1, nil)`,
		"a file passed as io.Writer":          `_, _ = io.Copy(f, f)`,
	} {
		text := fmt.Sprintf(`package planted
			import ("io"; "os"; "golang.org/x/sys/unix"; "github.com/tidwall/wal"; "opossum/internal/step")
			var _ = io.Copy; var _ = unix.Getpid; var _ = step.Sync; const _ = os.O_RDWR
			func plant(f *os.File, l *wal.Log, flags int) { %s }`, body)
		found := changes(t, imported, "planted", []string{"planted.go"}, []byte(text))
		require.Len(t, found, 1, "%s", what)
		require.Contains(t, found[0], what)
	}
	innocent := `package innocent
		import ("os"; "golang.org/x/sys/unix"; "opossum/internal/step")
		func plain(f *os.File) {
			_, _ = os.OpenFile("a", os.O_RDWR, 0)
			_, _ = unix.Openat(3, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
			_ = step.Do(step.KindSync, "a", func() error { return unix.Syncfs(3) })
			_ = step.Do(step.KindSync, "a", f.Sync)
		}`
	require.Empty(t, changes(t, imported, "innocent", []string{"innocent.go"}, []byte(innocent)))
}

// exports returns the importer of everything that the engine and its parts import.
func exports(t *testing.T) func(path string) (io.ReadCloser, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// engineFiles returns the files of the packages that an embedding program compiles, on this system.
func engineFiles(t *testing.T) map[string][]string {
	out, err := exec.Command("go", "list", "-deps", "-f",
		"{{with .Module}}{{if .Main}}{{$.ImportPath}}\t{{$.Dir}}\t{{join $.GoFiles \"\t\"}}{{end}}{{end}}", ".").Output()
	require.NoError(t, err)
	files := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		for _, name := range fields[2:] {
			files[fields[0]] = append(files[fields[0]], filepath.Join(fields[1], name))
		}
	}
	require.Contains(t, files, module+"/wal")
	return files
}

// changes lists the places in a package that change the disk and are not within a step. text, if not nil, is that of its only file.
func changes(t *testing.T, imported importer.Lookup, pkg string, paths []string, text []byte) []string {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		var src any
		if text != nil {
			src = text
		}
		f, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", imported)}
	_, err := config.Check(pkg, fset, files, info)
	require.NoError(t, err)

	s := search{info: info}
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); !ok || !slices.Contains(unstepped, fn.Name.Name) || pkg != lockPackage {
				ast.Inspect(d, s.visit)
			}
		}
	}
	var found []string
	for _, f := range s.found {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(f.at), f.what))
	}
	return found
}

// search looks for changes of the disk. It sees uses, not only calls: a function can be called by another name.
type search struct {
	info  *types.Info
	found []change
}

type change struct {
	at   token.Pos
	what string
}

func (s *search) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.Ident:
		name := s.function(n)
		if _, ok := opening[name]; ok || slices.Contains(changing, name) {
			s.found = append(s.found, change{n.Pos(), name})
		}
	case *ast.CallExpr:
		name := s.function(called(n))
		if strings.HasPrefix(name, stepPackage+".") { // what a step is given to do, and to which file
			return false
		}
		if at, ok := opening[name]; ok {
			if v := s.info.Types[n.Args[at]].Value; v != nil {
				if flags, exact := constant.Int64Val(v); exact && flags&changingFlags == 0 {
					return false
				}
			}
		}
		s.passed(n)
	}
	return true
}

// passed notices files that are given away as io.Writer or the like.
func (s *search) passed(call *ast.CallExpr) {
	sig, ok := s.info.Types[call.Fun].Type.(*types.Signature)
	if !ok {
		return
	}
	for i, arg := range call.Args {
		if s.info.Types[arg].Type.String() != "*os.File" || sig.Params().Len() == 0 {
			continue
		}
		param := sig.Params().At(min(i, sig.Params().Len()-1)).Type()
		if i, ok := param.Underlying().(*types.Interface); ok {
			for m := range i.Methods() {
				if strings.HasPrefix(m.Name(), "Write") {
					s.found = append(s.found, change{arg.Pos(), "a file passed as " + param.String()})
					break
				}
			}
		}
	}
}

func called(call *ast.CallExpr) *ast.Ident {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return fun
	case *ast.SelectorExpr:
		return fun.Sel
	}
	return nil
}

// function returns the full name of the function that an identifier stands for, "" if it is none.
func (s *search) function(id *ast.Ident) string {
	if fn, ok := s.info.Uses[id].(*types.Func); ok {
		return fn.FullName()
	}
	return ""
}

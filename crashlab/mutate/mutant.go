package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// mutant is one small bug: a stretch of a file's text, and what stands there instead.
type mutant struct {
	file   string // relative to the module's root
	line   int
	within string // the function, "" if none
	kind   string
	from   int // offsets into the text
	to     int
	before string
	after  string
	keep   string // goes behind the file's end, so that an import stays used
	nth    int    // of those that would have the same name, from 1
	form   form
	outer  [2]int // the offsets of what takes that form
}

// form is how a mutant and what it replaces can both stand in one program, with a switch between them.
type form uint8

const (
	alone     form = iota // they cannot: the mutant needs a build of its own
	condition             // a bool, of which one side is evaluated
	statement             // or statements, none of which declares anything for those after them
	number                // of which both are evaluated, which does no harm
	failing               // a call that returns an error
)

// name is the same after the lines have moved. No two mutants have the same.
func (m mutant) name() string {
	name := fmt.Sprintf("%s %s, %s: `%s` -> `%s`", m.file, m.within, m.kind, oneLine(m.before), oneLine(m.after))
	if m.nth > 1 {
		name += fmt.Sprintf(" (%d)", m.nth)
	}
	return name
}

func oneLine(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "`", "'")
	if r := []rune(s); len(r) > 110 {
		return string(r[:110]) + "..."
	}
	return s
}

// apply returns the file's text with the bug in it.
func (m mutant) apply(src string) string { return src[:m.from] + m.after + src[m.to:] + m.keep }

// mutants lists all there are in a file, in the order of the text.
func mutants(file, src string) ([]mutant, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, src, 0)
	if err != nil {
		return nil, err
	}
	f := &finder{file: file, src: src, set: set, imports: map[string]bool{}}
	for _, spec := range tree.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		f.imports[name] = true
	}
	ast.Inspect(tree, f.visit)
	slices.SortStableFunc(f.found, func(a, b mutant) int { return a.from - b.from })
	same := map[string]int{}
	for i := range f.found {
		name := f.found[i].name()
		same[name]++
		f.found[i].nth = same[name]
	}
	return f.found, nil
}

// finder walks a file.
type finder struct {
	file    string
	src     string
	set     *token.FileSet
	imports map[string]bool
	path    []ast.Node // from the file down to the node that is visited
	found   []mutant
}

func (f *finder) visit(n ast.Node) bool {
	if n == nil {
		f.path = f.path[:len(f.path)-1]
		return false
	}
	if f.excluded(n) {
		return false
	}
	f.path = append(f.path, n)
	switch n := n.(type) {
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			f.add("not", n, f.text(n.X))
		}
	case *ast.BasicLit:
		f.number(n)
	case *ast.Ident:
		f.truth(n)
	case *ast.IncDecStmt:
		f.add("arithmetic", n, f.text(n.X)+opposite[n.Tok].String())
	case *ast.AssignStmt:
		f.assignment(n)
	case *ast.ExprStmt:
		if listed(f.path[len(f.path)-2], n) {
			f.statement(n)
		}
	case *ast.DeferStmt:
		f.add("call removed", n.Call, f.without(n.Call, ""), n.Call.Fun)
	case *ast.GoStmt:
		f.add("call removed", n.Call, f.without(n.Call, ""), n.Call.Fun)
	case *ast.SendStmt:
		if !listed(f.path[len(f.path)-2], n) {
			break
		}
		f.add("call removed", n, "_, _ = "+f.text(n.Chan)+", "+f.text(n.Value))
	case *ast.BranchStmt:
		if n.Label == nil && (n.Tok == token.BREAK || n.Tok == token.CONTINUE) {
			f.add("loop", n, opposite[n.Tok].String())
		}
	case *ast.IfStmt:
		f.branch(n)
	case *ast.CaseClause:
		if len(n.Body) > 0 && !removable(n.Body) {
			f.replace("branch emptied", n.Body[0].Pos(), n.Body[len(n.Body)-1].End(), "")
		}
	case *ast.ReturnStmt:
		f.result(n)
	case *ast.CallExpr:
		if f.text(n.Fun) == "errors.Join" {
			for _, arg := range n.Args {
				if call, ok := arg.(*ast.CallExpr); ok && !f.excluded(call) {
					f.add("call removed", call, f.without(call, "error"), call.Fun)
				}
			}
		}
	}
	return true
}

// excluded are texts for people, counts for people, and what makes a program hang or crash wherever it stands, so that a bug in it says
// nothing about the tests: locking, and the step of a loop.
func (f *finder) excluded(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec:
		return true
	case *ast.FuncDecl:
		return n.Recv != nil && (slices.Contains([]string{"String", "Error", "LogValue", "Stats"}, n.Name.Name) || f.text(n.Recv.List[0].Type) == "*counters")
	case *ast.CallExpr:
		name := f.text(n.Fun)
		if f.speaks(name) || strings.HasSuffix(name, "ock") && len(n.Args) == 0 { // Lock, RLock, Unlock, RUnlock
			return true
		}
	case *ast.ExprStmt:
		call, ok := n.X.(*ast.CallExpr)
		return ok && f.excluded(call)
	case *ast.DeferStmt:
		return f.excluded(n.Call)
	case ast.Stmt:
		loop, ok := f.parent().(*ast.ForStmt)
		return ok && loop.Post == n
	case ast.Expr: // a capacity
		call, ok := f.parent().(*ast.CallExpr)
		return ok && f.text(call.Fun) == "make" && len(call.Args) == 3 && call.Args[2] == n
	}
	return false
}

// speaks reports whether a call, by the text of its function, makes a message or a metric.
func (f *finder) speaks(name string) bool {
	if name == "panic" {
		return true
	}
	for _, word := range []string{"fmt", "errors.New", "slog", "stats", "Logger", "logger", "metrics"} {
		if strings.HasPrefix(name, word+".") || strings.Contains(name, "."+word+".") || name == word {
			return true
		}
	}
	return false
}

// wraps reports whether a call makes one error of others, so that without it the same is lost as when the error is dropped.
func (f *finder) wraps(call *ast.CallExpr) bool {
	return f.excluded(call) || strings.HasPrefix(f.text(call), "errors.")
}

// opposite pairs what is confused with each other.
var opposite = map[token.Token]token.Token{
	token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR, token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LAND: token.LOR, token.LOR: token.LAND, token.ADD: token.SUB, token.SUB: token.ADD,
	token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN, token.INC: token.DEC, token.DEC: token.INC,
	token.BREAK: token.CONTINUE, token.CONTINUE: token.BREAK,
}

// relaxed pairs what differs at the boundary only.
var relaxed = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}

func (f *finder) binary(n *ast.BinaryExpr) {
	with := func(op token.Token) string { return f.text(n.X) + " " + op.String() + " " + f.text(n.Y) }
	if op, ok := relaxed[n.Op]; ok {
		f.add("boundary", n, with(op))
	}
	switch n.Op {
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		f.add("comparison", n, with(opposite[n.Op]))
	case token.EQL, token.NEQ:
		if !f.checksError(n) {
			f.add("comparison", n, with(opposite[n.Op]))
		} else if n.Op == token.NEQ {
			f.add("error ignored", n, "("+f.text(n)+" && false)")
		} else {
			f.add("error ignored", n, "("+f.text(n)+" || true)")
		}
	case token.LAND, token.LOR:
		f.add("logic", n, "("+with(opposite[n.Op])+")")
		f.negate(n.X)
		f.negate(n.Y)
	case token.ADD, token.SUB:
		if text(n.X) || text(n.Y) {
			break
		}
		f.add("arithmetic", n, with(opposite[n.Op]))
	}
}

// text reports whether an expression is a text, of which there is no difference.
func text(e ast.Expr) bool {
	if sum, ok := e.(*ast.BinaryExpr); ok {
		return text(sum.X) || text(sum.Y)
	}
	lit, ok := e.(*ast.BasicLit)
	return ok && lit.Kind == token.STRING
}

// negate puts a "not" before a condition that has no operator of its own to be changed.
func (f *finder) negate(cond ast.Expr) {
	switch cond.(type) {
	case *ast.CallExpr, *ast.Ident, *ast.SelectorExpr:
		f.add("not", cond, "!"+f.text(cond))
	}
}

func (f *finder) checksError(e ast.Expr) bool {
	n, ok := e.(*ast.BinaryExpr)
	return ok && (n.Op == token.EQL || n.Op == token.NEQ) && f.text(n.Y) == "nil" && strings.HasSuffix(strings.ToLower(f.text(n.X)), "err")
}

func (f *finder) number(n *ast.BasicLit) {
	v, err := strconv.ParseUint(strings.ReplaceAll(n.Value, "_", ""), 0, 63)
	if n.Kind != token.INT || err != nil || strings.HasPrefix(n.Value, "0o") || f.besideError() { // 0o: the mode of a file
		return
	}
	if v == 1 {
		f.add("constant", n, "0")
		return
	}
	f.add("constant", n, strconv.FormatUint(v+1, 10))
}

// besideError reports whether a value is returned beside an error, where nobody reads it.
func (f *finder) besideError() bool {
	if len(f.path) < 2 {
		return false
	}
	n, ok := f.path[len(f.path)-2].(*ast.ReturnStmt)
	return ok && f.errorResult() == len(n.Results) && len(n.Results) > 0 && f.text(n.Results[len(n.Results)-1]) != "nil"
}

func (f *finder) truth(n *ast.Ident) {
	if f.besideError() {
		return
	}
	switch n.Name {
	case "true":
		f.add("constant", n, "false")
	case "false":
		f.add("constant", n, "true")
	}
}

// assignment drops an assignment but evaluates what was assigned. An error that a call alone assigns is that of no call.
func (f *finder) assignment(n *ast.AssignStmt) {
	if op, ok := opposite[n.Tok]; ok {
		f.add("arithmetic", n, f.text(n.Lhs[0])+" "+op.String()+" "+f.text(n.Rhs[0]))
	}
	call, isCall := n.Rhs[0].(*ast.CallExpr)
	if len(n.Lhs) == 1 && isCall && f.text(n.Lhs[0]) == "err" && !f.wraps(call) {
		f.add("call removed", call, f.without(call, "error"), call.Fun)
	}
	if n.Tok == token.DEFINE || !listed(f.path[len(f.path)-2], n) {
		return
	}
	blanks := make([]string, len(n.Lhs))
	for i, left := range n.Lhs {
		if blanks[i] = "_"; f.text(left) == "_" {
			return
		}
	}
	values := f.src[f.offset(n.Rhs[0].Pos()):f.offset(n.Rhs[len(n.Rhs)-1].End())]
	if values == "nil" {
		f.add("assignment removed", n, "")
		return
	}
	f.add("assignment removed", n, strings.Join(blanks, ", ")+" = "+values)
}

func (f *finder) statement(n *ast.ExprStmt) {
	switch x := n.X.(type) {
	case *ast.CallExpr:
		f.add("call removed", x, f.without(x, ""), x.Fun)
	case *ast.UnaryExpr: // a receive
		f.add("call removed", x, "_ = "+f.text(x.X))
	}
}

// without is a call that evaluates the arguments and does nothing else.
func (f *finder) without(call *ast.CallExpr, result string) string {
	var args []string
	if lit, ok := call.Fun.(*ast.FuncLit); ok {
		args = append(args, f.text(lit))
	}
	for _, arg := range call.Args {
		args = append(args, f.text(arg))
	}
	if result == "" {
		return "func(...any) {}(" + strings.Join(args, ", ") + ")"
	}
	return "func(...any) (_ " + result + ") { return }(" + strings.Join(args, ", ") + ")"
}

func (f *finder) branch(n *ast.IfStmt) {
	f.negate(n.Cond)
	if len(n.Body.List) > 0 && !f.checksError(n.Cond) && !(n.Else == nil && removable(n.Body.List)) {
		f.add("branch emptied", n.Cond, "("+f.text(n.Cond)+") && false")
	}
	if other, ok := n.Else.(*ast.BlockStmt); ok && len(other.List) > 0 && !removable(other.List) {
		f.replace("branch emptied", other.List[0].Pos(), other.List[len(other.List)-1].End(), "")
	}
}

// removable reports whether to empty a branch would be the same as to remove its only statement, or only silences a panic.
func removable(body []ast.Stmt) bool {
	if len(body) != 1 {
		return false
	}
	switch s := body[0].(type) {
	case *ast.ExprStmt, *ast.SendStmt, *ast.IncDecStmt, *ast.BranchStmt:
		return true
	case *ast.AssignStmt:
		return s.Tok != token.DEFINE
	}
	return false
}

// result makes a success of a returned error.
func (f *finder) result(n *ast.ReturnStmt) {
	count := f.errorResult()
	if count == 0 || len(n.Results) != count {
		return
	}
	last := n.Results[count-1]
	if f.text(last) == "nil" {
		return
	}
	rest := f.src[f.offset(n.Pos()):f.offset(last.Pos())]
	f.add("error swallowed", n, "_ = "+f.text(last)+"; "+rest+"nil")
	if call, ok := last.(*ast.CallExpr); ok && !f.wraps(call) {
		f.add("call removed", call, f.without(call, "error"), call.Fun)
	}
}

// errorResult returns how many results the function has that is visited, 0 if the last is no error.
func (f *finder) errorResult() int {
	for _, n := range slices.Backward(f.path) {
		var sig *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncLit:
			sig = n.Type
		case *ast.FuncDecl:
			sig = n.Type
		default:
			continue
		}
		if sig.Results == nil || f.text(sig.Results.List[len(sig.Results.List)-1].Type) != "error" {
			return 0
		}
		return sig.Results.NumFields()
	}
	return 0
}

// add notes a mutant in place of n. gone are parts of n that are not in the new text, but whose imports must stay used.
func (f *finder) add(kind string, n ast.Node, text string, gone ...ast.Node) {
	f.replace(kind, n.Pos(), n.End(), text)
	m := &f.found[len(f.found)-1]
	for _, n := range gone {
		ast.Inspect(n, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && f.imports[f.text(sel.X)] && f.text(sel.X) != "slices" { // generic: not a value
				m.keep += "\nvar _ = " + f.text(sel) + "\n"
			}
			_, lit := n.(*ast.FuncLit) // is still there
			return !lit
		})
	}
}

func (f *finder) replace(kind string, from, to token.Pos, text string) {
	m := mutant{file: f.file, line: f.set.Position(from).Line, kind: kind, from: f.offset(from), to: f.offset(to), after: text}
	m.before = f.src[m.from:m.to]
	for _, n := range f.path {
		if decl, ok := n.(*ast.FuncDecl); ok {
			m.within = decl.Name.Name
		}
	}
	m.form, m.outer = f.form(m)
	f.found = append(f.found, m)
}

// form finds the smallest part of the text around a mutant that can be switched.
func (f *finder) form(m mutant) (form, [2]int) {
	own := [2]int{m.from, m.to}
	if m.within == "" {
		return alone, own
	}
	switch m.kind {
	case "boundary", "comparison", "logic", "not", "error ignored":
		return condition, own
	case "branch emptied":
		if m.after == "" {
			return statement, own
		}
		return condition, own
	case "call removed":
		if strings.Contains(m.after, "(_ error)") {
			return failing, own
		}
	case "constant":
		if m.before == "true" || m.before == "false" {
			return condition, own
		}
	}
	sum := own // the largest sum that it is a term of
	for i, n := range slices.Backward(f.path) {
		span := [2]int{f.offset(n.Pos()), f.offset(n.End())}
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if _, ok := opposite[n.Op]; ok && n.Op != token.ADD && n.Op != token.SUB {
				return condition, span
			}
			sum = span
		case *ast.CallExpr, *ast.IndexExpr, *ast.SliceExpr, *ast.ParenExpr, *ast.BasicLit, *ast.UnaryExpr, *ast.SelectorExpr, *ast.KeyValueExpr,
			*ast.CompositeLit, *ast.Ident, *ast.StarExpr:
		case *ast.ReturnStmt, *ast.ExprStmt, *ast.SendStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.BranchStmt:
			if listed(f.path[i-1], n) {
				return statement, span
			}
			return number, sum
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE && listed(f.path[i-1], n) {
				return statement, span
			}
			return number, sum
		default:
			return number, sum
		}
	}
	return alone, own
}

// parent is that of a node which is not yet, or no longer, the last of the path.
func (f *finder) parent() ast.Node {
	if len(f.path) == 0 {
		return nil
	}
	return f.path[len(f.path)-1]
}

// listed reports whether a statement stands in a list of them in its parent, and not in the head of it.
func listed(parent, n ast.Node) bool {
	switch p := parent.(type) {
	case *ast.BlockStmt, *ast.CaseClause:
		return true
	case *ast.CommClause:
		return n.Pos() > p.Colon
	}
	return false
}

func (f *finder) offset(p token.Pos) int { return f.set.Position(p).Offset }
func (f *finder) text(n ast.Node) string { return f.src[f.offset(n.Pos()):f.offset(n.End())] }

package segment

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// The FST of a run is that of vellum, version 1, and byte for byte what vellum writes if it does not look for equal states. This file knows
// that much of it and no more: sharing ends of keys is what makes a builder slow, and terms that end in numbers or UUIDs have
// next to nothing to share. docs/format/index.md draws the bytes.
const (
	fstVersion = 1
	fstHeader  = 16
	fstFooter  = 16
	fstNone    = 1 // no address of a state

	oneTransition = 1 << 7   // of the top byte of a state
	toNext        = 1 << 6   // of a state with one transition
	finalState    = 1 << 6   // of any other
	lowBits       = 1<<6 - 1 // code of the byte, or number of transitions
)

// common are the bytes that have a code, from 1 on.
const common = "te/oasripcnw.hlm-du012g=:bf3y5&_4v9678k%?xCDASFIBEjPTzRNM+LOqHG"

var codes = func() (c [256]byte) {
	for i := range len(common) {
		c[common[i]] = byte(i + 1)
	}
	return c
}()

// fstBuilder makes one FST in memory from ascending keys. The zero value needs a reset.
type fstBuilder struct {
	out   []byte
	nodes []fstNode // on the path of the last key, the root first; those behind depth are room to be used again
	depth int
	last  int // the address of the last state that was written
	count uint64
}

// fstNode is a state that may still get transitions. The newest one leads to a state that is not written yet.
type fstNode struct {
	done   []transition
	out    uint64 // of the newest transition
	in     byte
	open   bool // there is a newest transition
	final  bool
	result uint64 // the final output
}

type transition struct {
	out uint64
	to  int
	in  byte
}

func (f *fstBuilder) reset() {
	f.out = binary.LittleEndian.AppendUint64(f.out[:0], fstVersion)
	f.out = binary.LittleEndian.AppendUint64(f.out, 0)
	f.last, f.count, f.depth = fstNone, 0, 0
	f.push()
}

// push returns a state without transitions, the next one of the path.
func (f *fstBuilder) push() *fstNode {
	if f.depth == len(f.nodes) {
		f.nodes = append(f.nodes, fstNode{})
	}
	n := &f.nodes[f.depth]
	*n = fstNode{done: n.done[:0]}
	f.depth++
	return n
}

// add puts a key into the FST. REQUIRES: it is above the one before, and not empty.
func (f *fstBuilder) add(key []byte, value uint64) {
	shared := 0
	for ; shared < len(key) && f.nodes[shared].open && f.nodes[shared].in == key[shared]; shared++ {
		n := &f.nodes[shared]
		least := min(n.out, value)
		if more := n.out - least; more > 0 { // what the keys before have above the least moves on
			f.nodes[shared+1].raise(more)
		}
		n.out, value = least, value-least
	}
	f.freeze(shared)
	n := &f.nodes[shared]
	n.open, n.in, n.out = true, key[shared], value
	for _, c := range key[shared+1:] {
		n = f.push()
		n.open, n.in = true, c
	}
	f.push().final = true
	f.count++
}

// raise adds to everything that n puts out.
func (n *fstNode) raise(by uint64) {
	if n.final {
		n.result += by
	}
	for i := range n.done {
		n.done[i].out += by
	}
	if n.open {
		n.out += by
	}
}

// freeze writes the states of the path behind the first of depth keep+1.
func (f *fstBuilder) freeze(keep int) {
	for f.depth > keep+1 {
		f.depth--
		to := f.write(&f.nodes[f.depth])
		above := &f.nodes[f.depth-1]
		for f.depth > keep+1 && len(above.done) == 0 && !above.final { // the end of a key that nothing branches off from: most of all states
			f.writeOne(transition{out: above.out, to: to, in: above.in})
			f.last = len(f.out) - 1
			f.depth--
			to, above = f.last, &f.nodes[f.depth-1]
		}
		above.done = append(above.done, transition{out: above.out, to: to, in: above.in})
		above.open = false
	}
}

// end completes the FST, which is valid until the next reset.
func (f *fstBuilder) end() []byte {
	f.freeze(0)
	root := f.write(&f.nodes[0])
	f.out = binary.LittleEndian.AppendUint64(f.out, f.count)
	f.out = binary.LittleEndian.AppendUint64(f.out, uint64(root))
	return f.out
}

// write writes a state and returns its address.
func (f *fstBuilder) write(n *fstNode) int {
	switch {
	case len(n.done) == 0: // the end of a key which is not the beginning of another; its value stands further up
		return 0
	case len(n.done) == 1 && !n.final:
		f.writeOne(n.done[0])
	default:
		f.writeMany(n)
	}
	f.last = len(f.out) - 1
	return f.last
}

func (f *fstBuilder) writeOne(t transition) {
	top := byte(oneTransition | toNext)
	if t.out != 0 || t.to != f.last {
		start, outBytes := len(f.out), 0
		if t.out != 0 {
			outBytes = packedBytes(t.out)
			f.pack(t.out, outBytes)
		}
		d := distance(start, t.to)
		f.pack(d, packedBytes(d))
		f.out = append(f.out, byte(packedBytes(d)<<4|outBytes))
		top = oneTransition
	}
	code := codes[t.in]
	if code == 0 {
		f.out = append(f.out, t.in)
	}
	f.out = append(f.out, top|code)
}

func (f *fstBuilder) writeMany(n *fstNode) {
	start, some := len(f.out), n.result
	toBytes, outBytes := 0, packedBytes(n.result)
	for _, t := range n.done {
		toBytes = max(toBytes, packedBytes(distance(start, t.to)))
		outBytes = max(outBytes, packedBytes(t.out))
		some |= t.out
	}
	if some == 0 {
		outBytes = 0
	}
	if n.final {
		f.pack(n.result, outBytes)
	}
	for i := len(n.done) - 1; i >= 0; i-- {
		f.pack(n.done[i].out, outBytes)
	}
	for i := len(n.done) - 1; i >= 0; i-- {
		f.pack(distance(start, n.done[i].to), toBytes)
	}
	for i := len(n.done) - 1; i >= 0; i-- {
		f.out = append(f.out, n.done[i].in)
	}
	f.out = append(f.out, byte(toBytes<<4|outBytes))
	top := byte(len(n.done))
	if len(n.done) > lowBits {
		if top == 0 {
			top = 1 // means 256
		}
		f.out, top = append(f.out, top), 0
	}
	if n.final {
		top |= finalState
	}
	f.out = append(f.out, top)
}

// pack appends the n low bytes of v.
func (f *fstBuilder) pack(v uint64, n int) {
	f.out = binary.LittleEndian.AppendUint64(f.out, v)
	f.out = f.out[:len(f.out)-8+n]
}

// packedBytes is how many bytes v takes, at least one.
func packedBytes(v uint64) int { return (bits.Len64(v|1) + 7) / 8 }

// distance is how the address of a state is written that a state starting at start leads to.
func distance(start, to int) uint64 {
	if to == 0 {
		return 0
	}
	return uint64(start - to)
}

var errFST = errors.New("a state or its place is malformed")

// fst reads an FST, whatever its bytes are: nothing is believed of a state but what lies between header and footer. It shares memory with them.
type fst struct {
	b    []byte // without the footer
	root int
}

func openFST(b []byte) (fst, error) {
	if len(b) < fstHeader+fstFooter || binary.LittleEndian.Uint64(b) != fstVersion {
		return fst{}, errors.New("no header and footer of an FST, or of another version")
	}
	root := binary.LittleEndian.Uint64(b[len(b)-8:])
	f := fst{b: b[:len(b)-fstFooter], root: int(min(root, uint64(len(b))))}
	return f, nil
}

// state is a state that has been decoded.
type state struct {
	final  bool
	result uint64 // the final output
	n      int    // transitions
	one    transition

	// Of those that are not one: where their parts begin, each of which descends.
	keys, tos, outs   int
	toBytes, outBytes int
	bottom            int
}

// at decodes the state at addr into s.
func (f fst) at(addr int, s *state) error {
	if addr == 0 {
		*s = state{final: true}
		return nil
	}
	if addr < fstHeader || addr >= len(f.b) {
		return errFST
	}
	if top := f.b[addr]; top&oneTransition != 0 {
		t, ok := f.single(addr, top)
		*s = state{n: 1, one: t}
		if !ok {
			return errFST
		}
		return nil
	}
	return f.many(addr, s)
}

// single decodes a state with one transition. An address that is out of bounds is found where it is used.
func (f fst) single(addr int, top byte) (t transition, ok bool) {
	at := addr
	if code := top & lowBits; code > 0 {
		t.in = common[code-1]
	} else {
		at--
		t.in = f.b[at]
	}
	if top&toNext != 0 {
		t.to = at - 1
		return t, t.to >= fstHeader
	}
	at--
	toBytes, outBytes := int(f.b[at]>>4), int(f.b[at]&15)
	if toBytes > 8 || outBytes > 8 || at-toBytes-outBytes < fstHeader {
		return t, false
	}
	at -= toBytes
	d := f.packed(at, toBytes)
	at -= outBytes
	t.out = f.packed(at, outBytes)
	return f.lead(t, at, d)
}

// lead makes an address of a distance: that of the state which t leads to.
func (f fst) lead(t transition, bottom int, d uint64) (transition, bool) {
	if d == 0 {
		t.to = 0
		return t, true
	}
	if d > uint64(bottom-fstHeader) {
		return t, false
	}
	t.to = bottom - int(d)
	return t, true
}

// many decodes a state that is final or has not exactly one transition.
func (f fst) many(addr int, s *state) error {
	top, at := f.b[addr], addr-1
	*s = state{final: top&finalState != 0, n: int(top & lowBits)}
	if s.n == 0 {
		if s.n = int(f.b[at]); s.n == 1 {
			s.n = 256
		}
		at--
	}
	s.toBytes, s.outBytes = int(f.b[at]>>4), int(f.b[at]&15)
	s.keys = at - s.n
	s.tos = s.keys - s.n*s.toBytes
	s.outs = s.tos - s.n*s.outBytes
	s.bottom = s.outs
	if s.final {
		s.bottom -= s.outBytes
	}
	if s.toBytes > 8 || s.outBytes > 8 || s.bottom < fstHeader {
		return errFST
	}
	if s.final {
		s.result = f.packed(s.bottom, s.outBytes)
	}
	return nil
}

// packed reads a number of n bytes, n <= 8.
func (f fst) packed(at, n int) (v uint64) {
	if at+8 <= len(f.b) {
		return binary.LittleEndian.Uint64(f.b[at:]) & (1<<(8*n) - 1)
	}
	for i := range n {
		v |= uint64(f.b[at+i]) << (8 * i)
	}
	return v
}

// transition decodes the i-th transition of s, ascending by their bytes.
func (f fst) transition(s *state, i int) (transition, error) {
	if s.keys == 0 { // one
		return s.one, nil
	}
	i = s.n - 1 - i
	t := transition{in: f.b[s.keys+i], out: f.packed(s.outs+i*s.outBytes, s.outBytes)}
	t, ok := f.lead(t, s.bottom, f.packed(s.tos+i*s.toBytes, s.toBytes))
	if !ok {
		return t, errFST
	}
	return t, nil
}

// get returns the value of key; ok is false if it is not in the FST. It takes no more steps than the key has bytes.
func (f fst) get(key []byte) (value uint64, ok bool, err error) {
	var s state
	addr := f.root
	for ; len(key) > 0; key = key[1:] {
		var t transition
		if addr >= fstHeader && addr < len(f.b) && f.b[addr]&oneTransition != 0 { // most are, and then only a byte is compared
			if t, ok = f.single(addr, f.b[addr]); !ok {
				return 0, false, errFST
			}
			if t.in != key[0] {
				return 0, false, nil
			}
		} else {
			if err := f.at(addr, &s); err != nil {
				return 0, false, err
			}
			i := f.search(&s, key[0])
			if i < 0 {
				return 0, false, nil
			}
			if t, err = f.transition(&s, i); err != nil {
				return 0, false, err
			}
		}
		addr, value = t.to, value+t.out
	}
	if err := f.at(addr, &s); err != nil || !s.final {
		return 0, false, err
	}
	return value + s.result, true, nil
}

// search returns the number of the transition of s for c, -1 if there is none. REQUIRES: s is not one transition.
func (f fst) search(s *state, c byte) int {
	for i, k := range f.b[s.keys : s.keys+s.n] {
		if k == c {
			return s.n - 1 - i
		}
	}
	return -1
}

// walk visits all keys in order, and takes at most steps steps: hostile bytes can hold a cycle, or more paths than there is time. The key is overwritten
// by the next one. It ends with the error of visit, errFST, or errSteps.
func (f fst) walk(steps int, visit func(key []byte, value uint64) error) error {
	type fork struct { // a state with transitions that are not visited yet
		s    state
		next int
		key  int // how long the key is there
		sum  uint64
	}
	var (
		forks []fork
		key   []byte
		s     state
		sum   uint64
		addr  = f.root
	)
	for {
		if err := f.at(addr, &s); err != nil {
			return err
		}
		if s.final {
			if err := visit(key, sum+s.result); err != nil {
				return err
			}
		}
		var t transition
		switch {
		case s.n == 1 && s.keys == 0:
			t = s.one
		case s.n > 0:
			forks = append(forks, fork{s: s, key: len(key), sum: sum})
			fallthrough
		default:
			for len(forks) > 0 && forks[len(forks)-1].next == forks[len(forks)-1].s.n {
				forks = forks[:len(forks)-1]
			}
			if len(forks) == 0 {
				return nil
			}
			at := &forks[len(forks)-1]
			var err error
			if t, err = f.transition(&at.s, at.next); err != nil {
				return err
			}
			at.next++
			key, sum = key[:at.key], at.sum
		}
		if steps--; steps < 0 {
			return errSteps
		}
		key, sum, addr = append(key, t.in), sum+t.out, t.to
	}
}

var errSteps = errors.New("more terms than a run holds")

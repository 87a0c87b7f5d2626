package validate

import (
	"math/bits"
	"strings"
)

// Patterns are looked at on every request, also on those answered from the cache, and nearly all of them are simple:
// literal text, "*", "**", alternatives. For these the set of all positions a match can have reached is carried
// through the expression, one step at a time. That needs no backtracking, so no url can make it slow, and for short
// urls no memory either. Everything else goes to regexp2. The result is the same; the tests hold one against the
// other.

// op is what one step asks of the text at the current position.
type op uint8

const (
	opText   op = iota // the text of the step follows
	opAny              // any character but "/"
	opAnyND            // any character but "/" and "."
	opStar             // any number of characters but "/"
	opDeep             // any number of characters, not entering a "." or ".." segment
	opDeepND           // any number of characters, not entering a segment that starts with "."
	opAlt              // one of several alternatives
	opBegin            // start of the text
	opEnd              // end of the text
	opChar             // at least one character follows
	opNoDot            // no "." follows
	opNoDots           // no "." or ".." segment follows
	opNoDot0           // neither nothing nor a "." segment follows
	opNoneAt           // neither here nor after a "/" here does a "." or ".." segment start
)

type step struct {
	op       op
	text     string
	alts     [][]step
	optional bool // opAlt: may be left out
}

// linear is an expression of the simple kind. It matches the whole text.
type linear struct {
	text  string // the text starts with this
	steps []step // what follows it
}

// pieces are the expressions translate writes, longest first where one is the start of another.
var pieces = []struct {
	source string
	op     op
}{
	{globstar(true), opDeep}, {globstar(false), opDeepND},
	{reNone, opNoneAt}, {reNotD, opNoDots}, {reNot0, opNoDot0}, {reNoDot, opNoDot}, {reOneChar, opChar},
	{reStar, opStar}, {reAnyChar, opAny}, {reAnyND, opAnyND}, {`^`, opBegin}, {`$`, opEnd},
}

// parseLinear returns nil for an expression that is not of the simple kind.
func parseLinear(source string) *linear {
	if !strings.HasPrefix(source, `^(?:`) || !strings.HasSuffix(source, `)$`) {
		return nil
	}
	p := linearParser{rest: source}
	alts, ok := p.alternatives()
	if !ok || p.rest != "" || len(alts) != 1 || len(alts[0]) < 2 {
		return nil
	}
	steps := alts[0]
	if steps[0].op != opBegin || steps[len(steps)-1].op != opEnd {
		return nil
	}
	for steps[0].op == opBegin {
		steps = steps[1:]
	}
	if steps[0].op == opText {
		return &linear{text: steps[0].text, steps: steps[1:]}
	}
	return &linear{steps: steps}
}

type linearParser struct{ rest string }

// alternatives reads up to the end or to a closing parenthesis.
func (p *linearParser) alternatives() (alts [][]step, ok bool) {
	for {
		var steps []step
		for p.rest != "" && p.rest[0] != '|' && p.rest[0] != ')' {
			if steps, ok = p.step(steps); !ok {
				return nil, false
			}
		}
		alts = append(alts, steps)
		if p.rest == "" || p.rest[0] == ')' {
			return alts, true
		}
		p.rest = p.rest[1:]
	}
}

// step reads one step and appends it. Text joins the text before it, and a group without alternatives is dissolved.
func (p *linearParser) step(steps []step) ([]step, bool) {
	for _, piece := range pieces {
		if rest, ok := strings.CutPrefix(p.rest, piece.source); ok {
			p.rest = rest
			return append(steps, step{op: piece.op}), !p.quantified()
		}
	}
	if p.rest[0] == '(' {
		return p.group(steps)
	}
	c := p.rest[0]
	if strings.IndexByte(`.*+?[]{}|)`, c) >= 0 {
		return nil, false
	}
	n := 1
	if c == '\\' {
		if len(p.rest) < 2 || p.rest[1] >= 0x80 || p.rest[1] <= ' ' || isWordByte(p.rest[1]) {
			return nil, false
		}
		n, c = 2, p.rest[1]
	}
	text := string([]byte{c})
	p.rest = p.rest[n:]
	if p.optional() {
		if c >= 0x80 { // only the last byte of a character
			return nil, false
		}
		return append(steps, step{op: opAlt, alts: [][]step{{{op: opText, text: text}}}, optional: true}), !p.quantified()
	}
	if n := len(steps); n > 0 && steps[n-1].op == opText {
		steps[n-1].text += text
	} else {
		steps = append(steps, step{op: opText, text: text})
	}
	return steps, !p.quantified()
}

func (p *linearParser) group(steps []step) ([]step, bool) {
	rest, ok := strings.CutPrefix(p.rest, `(?:`)
	if !ok {
		if rest = p.rest[1:]; strings.HasPrefix(rest, `?`) {
			return nil, false
		}
	}
	p.rest = rest
	alts, ok := p.alternatives()
	if !ok || p.rest == "" {
		return nil, false
	}
	p.rest = p.rest[1:]
	optional := p.optional()
	if p.quantified() {
		return nil, false
	}
	if len(alts) == 1 && !optional {
		for _, s := range alts[0] {
			if n := len(steps); n > 0 && s.op == opText && steps[n-1].op == opText {
				steps[n-1].text += s.text
				continue
			}
			steps = append(steps, s)
		}
		return steps, true
	}
	return append(steps, step{op: opAlt, alts: alts, optional: optional}), true
}

// optional takes a "?" if it comes next.
func (p *linearParser) optional() bool {
	rest, ok := strings.CutPrefix(p.rest, `?`)
	p.rest = rest
	return ok
}

// quantified reports whether a quantifier comes next. Those that matter have been read already.
func (p *linearParser) quantified() bool {
	return p.rest != "" && strings.IndexByte(`*+?{`, p.rest[0]) >= 0
}

// match reports whether the whole of s, which is ASCII, matches.
func (l *linear) match(s string) bool {
	if !strings.HasPrefix(s, l.text) {
		return false
	}
	var buf [8]uint64 // paths of up to 511 bytes
	at := positions(buf[:])
	if n := len(s)/64 + 1; n > len(buf) {
		at = make(positions, n)
	} else {
		at = at[:n]
	}
	at.add(len(l.text))
	at.run(l.steps, s)
	return at.has(len(s))
}

// positions is a set of positions in the text, 0 to its length.
type positions []uint64

func (at positions) has(i int) bool { return at[i/64]>>(i%64)&1 != 0 }
func (at positions) add(i int)      { at[i/64] |= 1 << (i % 64) }

// first returns the smallest position, or -1.
func (at positions) first() int {
	for w, word := range at {
		if word != 0 {
			return 64*w + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// run replaces the positions by those that can be reached through steps.
func (at positions) run(steps []step, s string) {
	for i := range steps {
		switch st := &steps[i]; st.op {
		case opText:
			at.advance(len(st.text), func(p int) bool { return strings.HasPrefix(s[p:], st.text) })
		case opAny:
			at.advance(1, func(p int) bool { return p < len(s) && s[p] != '/' })
		case opAnyND:
			at.advance(1, func(p int) bool { return p < len(s) && s[p] != '/' && s[p] != '.' })
		case opStar:
			at.spread(s, func(p int) bool { return s[p] != '/' })
		case opDeep:
			at.spread(s, func(p int) bool { return !isLineEnd(s[p]) && !dotsStart(s, p) })
		case opDeepND:
			at.spread(s, func(p int) bool { return !isLineEnd(s[p]) && !hiddenStart(s, p) })
		case opAlt:
			at.branch(st, s)
		default:
			at.advance(0, func(p int) bool { return holds(st.op, s, p) })
		}
	}
}

// advance moves every position for which ok holds on by n and drops the others.
func (at positions) advance(n int, ok func(int) bool) {
	for w := len(at) - 1; w >= 0; w-- {
		for word := at[w]; word != 0; {
			bit := bits.Len64(word) - 1
			word &^= 1 << bit
			at[w] &^= 1 << bit
			if p := 64*w + bit; ok(p) {
				at.add(p + n) // not below p, so not met again
			}
		}
	}
}

// spread adds the positions that are reached by passing over characters for which ok holds.
func (at positions) spread(s string, ok func(int) bool) {
	first := at.first()
	if first < 0 {
		return
	}
	active := false
	for p := first; p <= len(s); p++ {
		if active {
			at.add(p)
		} else {
			active = at.has(p)
		}
		active = active && p < len(s) && ok(p)
	}
}

func (at positions) branch(st *step, s string) {
	var buf [16]uint64
	both := buf[:]
	if 2*len(at) > len(buf) {
		both = make([]uint64, 2*len(at))
	}
	sum, one := positions(both[:len(at)]), positions(both[len(at):2*len(at)])
	if st.optional {
		copy(sum, at)
	}
	for _, steps := range st.alts {
		copy(one, at)
		one.run(steps, s)
		for w := range one {
			sum[w] |= one[w]
		}
	}
	copy(at, sum)
}

// holds answers the steps that look at the text without passing over it.
func holds(o op, s string, p int) bool {
	switch o {
	case opBegin:
		return p == 0
	case opEnd:
		return p == len(s)
	case opChar:
		return p < len(s) && !isLineEnd(s[p])
	case opNoDot:
		return p == len(s) || s[p] != '.'
	case opNoDots:
		return !dotsAt(s, p)
	case opNoDot0:
		return !segmentEnd(s, p) && !(s[p] == '.' && segmentEnd(s, p+1))
	default: // opNoneAt
		return !dotsStart(s, p)
	}
}

func isLineEnd(c byte) bool { return c == '\n' || c == '\r' }

func segmentEnd(s string, p int) bool { return p == len(s) || s[p] == '/' }

// dotsAt reports whether a "." or ".." and then the end of the segment stand at p.
func dotsAt(s string, p int) bool {
	if p == len(s) || s[p] != '.' {
		return false
	}
	return segmentEnd(s, p+1) || s[p+1] == '.' && segmentEnd(s, p+2)
}

// dotsStart reports whether a "." or ".." segment starts at p, being the start of the text, or after the "/" at p.
func dotsStart(s string, p int) bool {
	return p == 0 && dotsAt(s, p) || p < len(s) && s[p] == '/' && dotsAt(s, p+1)
}

// hiddenStart is dotsStart for segments that start with a dot.
func hiddenStart(s string, p int) bool {
	if p == 0 && s != "" && s[0] == '.' {
		return true
	}
	return p+1 < len(s) && s[p] == '/' && s[p+1] == '.'
}

package validate

import (
	"slices"
	"strings"
)

// tokenKind classifies what the parser has just read: the meaning of "*", "?", "." and "+" depends on what stands
// before them.
type tokenKind uint8

const (
	tokStart tokenKind = iota
	tokText
	tokSlash
	tokDot
	tokDots // ".." inside braces
	tokStar
	tokGlobstar
	tokAny
	tokPlus
	tokNegate
	tokAt
	tokParen
	tokBracket
	tokBrace
	tokComma
	tokEnd
)

// token is one piece of the glob (text) and the expression it stands for (re, which is text itself unless set).
type token struct {
	kind tokenKind
	text string
	re   string
	set  bool // re is meant, even if it is empty
	prev *token

	repeated bool // three or more stars in a row
	extended bool // part of an extended glob such as "@(a|b)"
	posix    bool // bracket with a class such as [:alpha:]
	comma    bool // brace: has alternatives
	dots     bool // brace: is a range
	outAt    int  // brace: length of the output before it
	tokensAt int  // brace: number of tokens before it
}

func (t *token) source() string {
	if t.set {
		return t.re
	}
	return t.text
}

// extglob is an open "!(", "?(", "+(" or "*(".
type extglob struct {
	negate bool
	close  string // what ends the group
	depth  int    // parentheses open before it
	inner  string // what was read inside so far
}

// groupKind names an open group, innermost last.
type groupKind uint8

const (
	groupParen groupKind = iota
	groupBracket
	groupBrace
)

// globParser reads a glob once, left to right, and writes the expression as it goes. Some constructs turn out to
// mean something else than what was written for them; they set rebuild, and the output is put together again from
// the tokens at the end.
type globParser struct {
	in  []rune
	pos int // index of the current character; -1 before the first
	dot bool

	start   int // where the pattern starts, after "!" and "./"
	negated bool
	rebuild bool
	quoted  bool

	out      string
	tokens   []*token
	last     *token
	bos      *token
	extglobs []*extglob
	braces   []*token
	groups   []groupKind
	nBracket int
	nParen   int // may fall below zero: a stray ")" counts
	nBrace   int
}

func newGlobParser(glob string, dot bool) *globParser {
	p := &globParser{in: []rune(strings.TrimPrefix(simplify(glob), "./")), pos: -1, dot: dot}
	p.bos = &token{kind: tokStart, set: true}
	p.last = p.bos
	p.tokens = []*token{p.bos}
	return p
}

// none is what peek returns past the end.
const none rune = -1

func (p *globParser) peek(n int) rune {
	if i := p.pos + n; i < len(p.in) {
		return p.in[i]
	}
	return none
}

// next moves on by one character and returns it, or "" past the end.
func (p *globParser) next() string {
	p.pos++
	if p.pos < len(p.in) {
		return string(p.in[p.pos])
	}
	return ""
}

func (p *globParser) atEnd() bool { return p.pos >= len(p.in)-1 }

func (p *globParser) rest() []rune {
	if p.pos+1 >= len(p.in) {
		return nil
	}
	return p.in[p.pos+1:]
}

func (p *globParser) open(g groupKind, n *int) {
	*n++
	p.groups = append(p.groups, g)
}

func (p *globParser) shut(n *int) {
	*n--
	if len(p.groups) > 0 {
		p.groups = p.groups[:len(p.groups)-1]
	}
}

// cut drops the last n bytes of the output. Dropping nothing drops everything: JavaScript's slice(0, -0) is empty.
func (p *globParser) cut(n int) {
	if n == 0 || n >= len(p.out) {
		p.out = ""
		return
	}
	p.out = p.out[:len(p.out)-n]
}

// push takes t as the next token and writes its expression.
func (p *globParser) push(t *token) {
	if p.last.kind == tokGlobstar {
		inBrace := p.nBrace > 0 && (t.kind == tokComma || t.kind == tokBrace)
		inExtglob := t.extended || len(p.extglobs) > 0 && t.kind == tokParen
		if t.kind != tokSlash && t.kind != tokParen && !inBrace && !inExtglob {
			// "**" next to anything but a separator is just "*".
			p.cut(len(p.last.re))
			p.last.kind, p.last.text, p.last.re, p.last.set = tokStar, "*", reStar, true
			p.out += reStar
		}
	}
	if n := len(p.extglobs); n > 0 && t.kind != tokParen {
		p.extglobs[n-1].inner += t.text
	}
	p.out += t.source()
	if p.last.kind == tokText && t.kind == tokText {
		if !p.last.set || p.last.re == "" {
			p.last.re = p.last.text
		}
		p.last.re += t.text
		p.last.set = true
		p.last.text += t.text
		return
	}
	t.prev = p.last
	p.tokens = append(p.tokens, t)
	p.last = t
}

func (p *globParser) pushText(text string) { p.push(&token{kind: tokText, text: text}) }

func (p *globParser) pushAs(kind tokenKind, text, re string) {
	p.push(&token{kind: kind, text: text, re: re, set: true})
}

// extend adds to the text of the token that is being read (bracket or quoted text).
func (p *globParser) extend(text string) {
	p.last.text += text
	p.out += text
}

// run translates the glob. top is false for the tail of a glob that is translated on its own. It reports the
// expression without anchors and whether a leading "!" negates it.
func (p *globParser) run(top bool) (string, bool) {
	if top && p.simple() {
		return anchored(p.translateSimple()), false
	}
	for !p.atEnd() {
		c := p.next()
		if c == "\x00" {
			continue
		}
		if c == `\` {
			var done bool
			if c, done = p.escape(); done {
				continue
			}
		}
		if p.nBracket > 0 && (c != "]" || p.last.text == "[" || p.last.text == "[^") {
			p.inBracket(c)
			continue
		}
		if p.quoted && c != `"` {
			p.extend(escapeRegex(c))
			continue
		}
		p.char(c)
	}
	return p.finish(), p.negated
}

// char translates one character outside brackets, quotes and escapes.
func (p *globParser) char(c string) {
	switch c {
	case `"`:
		p.quoted = !p.quoted
	case "(":
		p.open(groupParen, &p.nParen)
		p.push(&token{kind: tokParen, text: c})
	case ")":
		p.closeParen()
	case "[":
		if slices.Contains(p.rest(), ']') {
			p.open(groupBracket, &p.nBracket)
		} else {
			c = `\[`
		}
		p.push(&token{kind: tokBracket, text: c})
	case "]":
		p.closeBracket()
	case "{":
		p.open(groupBrace, &p.nBrace)
		t := &token{kind: tokBrace, text: c, re: "(", set: true, outAt: len(p.out), tokensAt: len(p.tokens)}
		p.braces = append(p.braces, t)
		p.push(t)
	case "}":
		p.closeBrace()
	case "|":
		p.pushText(c)
	case ",":
		p.comma()
	case "/":
		p.slash()
	case ".":
		p.period()
	case "?":
		p.question()
	case "!":
		p.bang()
	case "+":
		p.plus()
	case "@":
		if p.extglobAhead() {
			p.push(&token{kind: tokAt, extended: true, text: c, set: true})
		} else {
			p.pushText(c)
		}
	case "*":
		p.star()
	default:
		p.text(c)
	}
}

// text takes c and the plain characters after it.
func (p *globParser) text(c string) {
	if c == "$" || c == "^" {
		c = `\` + c
	}
	rest := p.rest()
	n := 0
	for n < len(rest) && !strings.ContainsRune(`@![].,$*+?^{}()|\/`, rest[n]) {
		n++
	}
	p.pos += n
	p.pushText(c + string(rest[:n]))
}

// escape reads the character after a backslash. done is false when the pair belongs to a bracket expression.
func (p *globParser) escape() (pair string, done bool) {
	switch p.peek(1) {
	case '/', '.', ';': // the backslash is dropped
		return "", true
	case none:
		p.pushText(`\\`)
		return "", true
	}
	pair = `\`
	run := 0
	for _, r := range p.rest() {
		if r != '\\' {
			break
		}
		run++
	}
	if run > 2 {
		p.pos += run
		if run%2 != 0 {
			pair += `\`
		}
	}
	pair += p.next()
	if p.nBracket == 0 {
		p.pushText(pair)
		return "", true
	}
	return pair, false
}

// finish repairs what was left open and returns the expression.
func (p *globParser) finish() string {
	for ; p.nBracket > 0; p.shut(&p.nBracket) {
		p.out = escapeLast(p.out, '[')
	}
	for ; p.nParen > 0; p.shut(&p.nParen) {
		p.out = escapeLast(p.out, '(')
	}
	for ; p.nBrace > 0; p.shut(&p.nBrace) {
		p.out = escapeLast(p.out, '{')
	}
	if p.last.kind == tokStar || p.last.kind == tokBracket {
		p.pushAs(tokEnd, "", reSlash+`?`)
	}
	if !p.rebuild {
		return p.out
	}
	var b strings.Builder
	for _, t := range p.tokens {
		b.WriteString(t.source())
	}
	return b.String()
}

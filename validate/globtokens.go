package validate

import (
	"slices"
	"strings"
)

// The characters with a meaning, one method each; see globParser.

// simple reports whether the glob has neither groups nor separators and starts with neither "*" nor "!". Such globs
// are translated character by character.
func (p *globParser) simple() bool {
	if len(p.in) > 0 && (p.in[0] == '*' || p.in[0] == '!') {
		return false
	}
	return !slices.ContainsFunc(p.in, func(r rune) bool { return strings.ContainsRune(`/()[]{}"`, r) })
}

// translateSimple works on runs: an optional backslash, a character that is no word character, and its repetitions.
func (p *globParser) translateSimple() string {
	var b strings.Builder
	in, escapes := p.in, false
	for i := 0; i < len(in); {
		if isWordRune(in[i]) {
			b.WriteRune(in[i])
			i++
			continue
		}
		begin := i
		escaped := in[i] == '\\' && i+1 < len(in) && !isWordRune(in[i+1])
		if escaped {
			i++
		}
		c, first := in[i], i
		for i < len(in) && in[i] == c {
			i++
		}
		n := i - first
		switch {
		case c == '\\':
			escapes = true
			b.WriteString(string(in[begin:i]))
		case c == '.':
			b.WriteString(strings.Repeat(reDot, n))
		case c == '?' && escaped:
			b.WriteString(`\?` + strings.Repeat(reAnyChar, n-1))
		case c == '?' && begin == 0 && !p.dot:
			b.WriteString(reAnyND + strings.Repeat(reAnyChar, n-1))
		case c == '?':
			b.WriteString(strings.Repeat(reAnyChar, n))
		case c == '*' && escaped && n > 1:
			b.WriteString(`\*` + reStar)
		case c == '*' && escaped:
			b.WriteString(`\*`)
		case c == '*':
			b.WriteString(reStar)
		case escaped:
			b.WriteString(string(in[begin:i]))
		default:
			b.WriteString(`\` + string(in[begin:i]))
		}
	}
	if !escapes {
		return b.String()
	}
	return halveBackslashes(b.String())
}

// halveBackslashes turns every even run of backslashes into an escaped one and every odd run into a single one.
func halveBackslashes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		first := i
		for i < len(s) && s[i] == '\\' {
			i++
		}
		if (i-first)%2 == 0 {
			b.WriteByte('\\')
		}
		b.WriteByte('\\')
	}
	return b.String()
}

func isWordRune(r rune) bool { return r < 0x80 && isWordByte(byte(r)) }

// posixClasses are the names allowed in [[:name:]].
var posixClasses = map[string]string{
	"alnum": `a-zA-Z0-9`, "alpha": `a-zA-Z`, "ascii": `\x00-\x7F`, "blank": ` \t`, "cntrl": `\x00-\x1F\x7F`,
	"digit": `0-9`, "graph": `\x21-\x7E`, "lower": `a-z`, "print": `\x20-\x7E `,
	"punct": "\\-!\"#$%&'()\\*+,./:;<=>?@[\\]^_`{|}~", "space": ` \t\r\n\v\f`, "upper": `A-Z`,
	"word": `A-Za-z0-9_`, "xdigit": `A-Fa-f0-9`,
}

// inBracket takes c as part of the bracket expression that is open.
func (p *globParser) inBracket(c string) {
	if c == ":" && strings.Contains(p.last.text[1:], "[") {
		p.last.posix = true
		if strings.Contains(p.last.text[1:], ":") {
			open := strings.LastIndexByte(p.last.text, '[')
			if class, ok := posixClasses[p.last.text[min(open+2, len(p.last.text)):]]; ok {
				p.last.text = p.last.text[:open] + class
				p.rebuild = true
				p.next()
				if p.bos.re == "" && len(p.tokens) > 1 && p.tokens[1] == p.last {
					p.bos.re = reOneChar
				}
				return
			}
		}
	}
	if c == "[" && p.peek(1) != ':' || c == "-" && p.peek(1) == ']' {
		c = `\` + c
	}
	if c == "]" {
		c = `\]`
	}
	p.extend(c)
}

func (p *globParser) closeBracket() {
	if p.nBracket == 0 {
		p.pushAs(tokText, "]", `\]`)
		return
	}
	p.shut(&p.nBracket)
	c, inner := "]", p.last.text[1:]
	if !p.last.posix && strings.HasPrefix(inner, "^") && !strings.Contains(inner, "/") {
		c = "/]" // a negated bracket does not match a separator
	}
	p.extend(c)
	if strings.ContainsAny(inner, regexSpecials) {
		return
	}
	// A bracket without ranges may also be meant literally.
	literal := escapeRegex(p.last.text)
	p.cut(len(p.last.text))
	p.last.text = `(?:` + literal + `|` + p.last.text + `)`
	p.out += p.last.text
}

func (p *globParser) closeBrace() {
	if len(p.braces) == 0 {
		p.pushAs(tokText, "}", "}")
		return
	}
	brace := p.braces[len(p.braces)-1]
	text, re := "}", ")"
	if brace.dots {
		re = charRange(p.popRange())
		p.rebuild = true
	}
	if !brace.comma && !brace.dots {
		// Neither alternatives nor a range: the braces are literal.
		inside := p.tokens[min(brace.tokensAt, len(p.tokens)):]
		brace.text, brace.re = `\{`, `\{`
		text, re = `\}`, `\}`
		p.out = p.out[:min(brace.outAt, len(p.out))]
		for _, t := range inside {
			if t.re != "" {
				p.out += t.re
			} else {
				p.out += t.text
			}
		}
	}
	p.pushAs(tokBrace, text, re)
	p.shut(&p.nBrace)
	p.braces = p.braces[:len(p.braces)-1]
}

// popRange removes the tokens of a range and returns its bounds.
func (p *globParser) popRange() []string {
	var bounds []string
	for len(p.tokens) > 0 {
		t := p.tokens[len(p.tokens)-1]
		p.tokens = p.tokens[:len(p.tokens)-1]
		if t.kind == tokBrace {
			break
		}
		if t.kind != tokDots {
			bounds = append(bounds, t.text)
		}
	}
	slices.Reverse(bounds)
	return bounds
}

func (p *globParser) comma() {
	re := ","
	if n := len(p.braces); n > 0 && len(p.groups) > 0 && p.groups[len(p.groups)-1] == groupBrace {
		p.braces[n-1].comma = true
		re = "|"
	}
	p.pushAs(tokComma, ",", re)
}

func (p *globParser) slash() {
	if p.last.kind == tokDot && p.pos == p.start+1 {
		// A leading "./" means nothing.
		p.start = p.pos + 1
		p.out = ""
		p.tokens = p.tokens[:len(p.tokens)-1]
		p.last = p.bos
		return
	}
	p.pushAs(tokSlash, "/", reSlash)
}

func (p *globParser) period() {
	if p.nBrace > 0 && p.last.kind == tokDot {
		p.last.kind = tokDots
		p.last.re += "."
		p.last.text += "."
		p.braces[len(p.braces)-1].dots = true
		return
	}
	kind := tokDot
	if p.nBrace+p.nParen == 0 && p.last.kind != tokStart && p.last.kind != tokSlash {
		kind = tokText
	}
	p.pushAs(kind, ".", reDot)
}

// extglobAhead reports whether the current character opens an extended glob and not a regular expression group.
func (p *globParser) extglobAhead() bool { return p.peek(1) == '(' && p.peek(2) != '?' }

func (p *globParser) question() {
	if p.last.text != "(" && p.extglobAhead() {
		p.openExtglob(tokAny, "?", `(?:`, `)?`)
		return
	}
	if p.last.kind == tokParen {
		re := "?"
		next := p.peek(1)
		if p.last.text == "(" && !isGroupFlag(next) || next == '<' && !isLookbehindOrName(p.rest()) {
			re = `\?`
		}
		p.pushAs(tokText, "?", re)
		return
	}
	re := reAnyChar
	if !p.dot && (p.last.kind == tokSlash || p.last.kind == tokStart) {
		re = reAnyND
	}
	p.pushAs(tokAny, "?", re)
}

// isGroupFlag reports whether r after "(?" makes a regular expression group.
func isGroupFlag(r rune) bool { return r == '!' || r == '=' || r == '<' || r == ':' }

// isLookbehindOrName looks anywhere in rest for "<!", "<=" or "<name>".
func isLookbehindOrName(rest []rune) bool {
	for i, r := range rest {
		if r != '<' || i+1 == len(rest) {
			continue
		}
		j := i + 1
		if rest[j] == '!' || rest[j] == '=' {
			return true
		}
		for j < len(rest) && isWordRune(rest[j]) {
			j++
		}
		if j > i+1 && j < len(rest) && rest[j] == '>' {
			return true
		}
	}
	return false
}

func (p *globParser) bang() {
	if p.peek(1) == '(' && (p.peek(2) != '?' || !isGroupFlag(p.peek(3))) {
		p.openExtglob(tokNegate, "!", `(?:(?!(?:`, `))`+reStar+`)`)
		return
	}
	if p.pos != 0 {
		p.text("!")
		return
	}
	odd := true
	for p.peek(1) == '!' && (p.peek(2) != '(' || p.peek(3) == '?') {
		p.next()
		p.start++
		odd = !odd
	}
	if odd {
		p.negated = true
		p.start++
	}
}

func (p *globParser) plus() {
	switch {
	case p.extglobAhead():
		p.openExtglob(tokPlus, "+", `(?:`, `)+`)
	case p.last.text == "(":
		p.pushAs(tokPlus, "+", rePlus)
	case p.last.kind == tokBracket, p.last.kind == tokParen, p.last.kind == tokBrace, p.nParen > 0:
		p.push(&token{kind: tokPlus, text: "+"}) // a quantifier
	default:
		p.push(&token{kind: tokPlus, text: rePlus})
	}
}

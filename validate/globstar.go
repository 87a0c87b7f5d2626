package validate

import (
	"slices"
	"strings"
)

// Stars and extended globs, the parts of a glob whose meaning depends on what follows; see globParser.

// star translates "*". A second one in the right place makes it a globstar.
func (p *globParser) star() {
	if p.last.kind == tokGlobstar || p.last.repeated {
		p.last.kind, p.last.repeated = tokStar, true
		p.last.text += "*"
		p.last.re, p.last.set = reStar, true
		p.rebuild = true
		return
	}
	if rest := p.rest(); len(rest) > 1 && rest[0] == '(' && rest[1] != '?' {
		p.openExtglob(tokStar, "*", `(?:`, `)*`)
		return
	}
	if p.last.kind == tokStar {
		p.secondStar()
		return
	}
	if p.pos == p.start || p.last.kind == tokSlash || p.last.kind == tokDot {
		var guard string
		switch {
		case p.last.kind == tokDot:
			guard = reNot0
		case p.dot:
			guard = reNotD
		default:
			guard = reNoDot
		}
		if p.peek(1) != '*' {
			guard += reOneChar
		}
		p.out += guard
		p.last.re += guard
		p.last.set = true
	}
	p.pushAs(tokStar, "*", reStar)
}

func (p *globParser) secondStar() {
	star, prior := p.last, p.last.prev
	before := prior.prev
	atStart := prior.kind == tokSlash || prior.kind == tokStart
	afterStar := before != nil && (before.kind == tokStar || before.kind == tokGlobstar)
	inBrace := p.nBrace > 0 && (prior.kind == tokComma || prior.kind == tokBrace)
	if !atStart && prior.kind != tokParen && !inBrace {
		p.push(&token{kind: tokStar, text: "*", set: true})
		return
	}
	rest := p.skipGlobstars()
	deep := globstar(p.dot)
	star.kind = tokGlobstar
	star.text += "*"
	star.set = true
	afterSlash := prior.kind == tokSlash && before.kind != tokStart
	switch {
	case prior.kind == tokStart && p.atEnd():
		star.re = deep
		p.out = deep
	case afterSlash && !afterStar && p.atEnd():
		// "/a/**" matches "/a" as well: the separator joins the optional part.
		p.cut(len(prior.re) + len(star.re))
		prior.re = `(?:` + prior.re
		star.re = deep + `|$)`
		p.out += prior.re + star.re
	case afterSlash && len(rest) > 0 && rest[0] == '/':
		end := ""
		if len(rest) > 1 {
			end = `|$`
		}
		p.cut(len(prior.re) + len(star.re))
		prior.re = `(?:` + prior.re
		star.re = deep + reSlash + `|` + reSlash + end + `)`
		p.out += prior.re + star.re
		p.next()
		p.pushAs(tokSlash, "/", "")
	case prior.kind == tokStart && len(rest) > 0 && rest[0] == '/':
		star.re = `(?:^|` + reSlash + `|` + deep + reSlash + `)`
		p.out = star.re
		p.next()
		p.pushAs(tokSlash, "/", "")
	default:
		p.cut(len(star.re))
		star.re = deep
		p.out += deep
	}
}

// skipGlobstars passes over further "/**", which add nothing, and returns what follows.
func (p *globParser) skipGlobstars() []rune {
	rest := p.rest()
	for len(rest) >= 3 && rest[0] == '/' && rest[1] == '*' && rest[2] == '*' {
		if after := p.peek(4); after != none && after != '/' {
			break
		}
		rest = rest[3:]
		p.pos += 3
	}
	return rest
}

func (p *globParser) openExtglob(kind tokenKind, text, open, end string) {
	g := &extglob{negate: kind == tokNegate, close: end, depth: p.nParen}
	oneChar := ""
	if p.out == "" {
		oneChar = reOneChar
	}
	p.open(groupParen, &p.nParen)
	p.pushAs(kind, text, oneChar)
	p.push(&token{kind: tokParen, extended: true, text: p.next(), re: open, set: true})
	p.extglobs = append(p.extglobs, g)
}

func (p *globParser) closeParen() {
	if n := len(p.extglobs); n > 0 && p.nParen == p.extglobs[n-1].depth+1 {
		g := p.extglobs[n-1]
		p.extglobs = p.extglobs[:n-1]
		p.push(&token{kind: tokParen, extended: true, text: ")", re: p.extglobEnd(g), set: true})
		p.shut(&p.nParen)
		return
	}
	re := `\)`
	if p.nParen != 0 {
		re = ")"
	}
	p.pushAs(tokParen, ")", re)
	p.shut(&p.nParen)
}

// extglobEnd is what closes g. A negation has to say what may follow instead of the refused text.
func (p *globParser) extglobEnd(g *extglob) string {
	if !g.negate {
		return g.close
	}
	end, follow := g.close, reStar
	if len(g.inner) > 1 && strings.Contains(g.inner, "/") {
		follow = globstar(p.dot)
	}
	rest := p.rest()
	onlyParens := len(rest) > 0 && !slices.ContainsFunc(rest, func(r rune) bool { return r != ')' })
	if follow != reStar || p.atEnd() || onlyParens {
		end = `)$))` + follow
	}
	if strings.Contains(g.inner, "*") && isExtension(rest) {
		tail, _ := newGlobParser(string(rest), p.dot).run(false)
		end = `)` + tail + `)` + follow + `)`
	}
	return end
}

// isExtension reports whether rest is a dot followed by one or more characters that are neither dot nor separator.
func isExtension(rest []rune) bool {
	return len(rest) > 1 && rest[0] == '.' &&
		!slices.ContainsFunc(rest[1:], func(r rune) bool { return r == '\\' || r == '/' || r == '.' })
}

package page

import (
	"strconv"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// cssURLs calls found with every url in a style sheet or a style attribute: those of url() and src(), and the strings
// that image-set() takes in their place.
func cssURLs(style string, found func(string)) {
	lexer := css.NewLexer(parse.NewInputString(style))
	var functions []string // the functions that are open, innermost last; "" is a plain parenthesis
	for {
		token, text := lexer.Next()
		switch token {
		case css.ErrorToken:
			return
		case css.URLToken:
			// The token is all of url(…), and the lexer keeps the quotes if there are any.
			inner := strings.TrimSuffix(string(text[len("url("):]), ")")
			found(cssUnescape(unquote(strings.Trim(inner, asciiSpace))))
		case css.FunctionToken:
			functions = append(functions, strings.ToLower(strings.TrimSuffix(string(text), "(")))
		case css.LeftParenthesisToken:
			functions = append(functions, "")
		case css.RightParenthesisToken:
			functions = functions[:max(0, len(functions)-1)]
		case css.StringToken:
			if len(functions) > 0 && takesURL(functions[len(functions)-1]) {
				found(cssUnescape(unquote(string(text))))
			}
		}
	}
}

func takesURL(function string) bool {
	switch function {
	case "url", "src", "image-set", "-webkit-image-set":
		return true
	}
	return false
}

// unquote removes the quotes around a CSS string. A string that the end of the text cuts short has only the first.
func unquote(s string) string {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return s
	}
	return strings.TrimSuffix(s[1:], s[:1])
}

// cssUnescape resolves escapes (CSS Syntax Module, 4.3.7): up to six hexadecimal digits and one white space, an
// escaped line break, which is nothing, or the character itself.
func cssUnescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, `\`)
		b.WriteString(before)
		if !ok || after == "" {
			return b.String()
		}
		n := 0
		for n < min(6, len(after)) && isHex(after[n]) {
			n++
		}
		switch {
		case n > 0:
			code, _ := strconv.ParseUint(after[:n], 16, 32)
			if code == 0 || code > 0x10ffff {
				code = 0xfffd
			}
			b.WriteRune(rune(code))
			if after = after[n:]; strings.HasPrefix(after, "\r\n") {
				after = after[2:]
			} else if after != "" && strings.IndexByte(asciiSpace, after[0]) >= 0 {
				after = after[1:]
			}
		case strings.HasPrefix(after, "\r\n"):
			after = after[2:]
		case strings.IndexByte("\n\r\f", after[0]) >= 0:
			after = after[1:]
		default:
			b.WriteByte(after[0])
			after = after[1:]
		}
		s = after
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

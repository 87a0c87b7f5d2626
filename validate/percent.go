package validate

// Percent-encoding: which bytes may stand where in a url, and the way there and back.

// byteClass says where a byte may stand without being rewritten.
type byteClass uint8

const (
	plainPath     byteClass = 1 << iota // in a path
	plainQuery                          // in a query
	plainFragment                       // in a fragment
	plainUser                           // in user name or password
	plainHost                           // in a host that needs no processing
)

var byteClasses = makeByteClasses()

func makeByteClasses() (t [256]byteClass) {
	for c := 0x21; c < 0x7f; c++ {
		t[c] = plainPath | plainQuery | plainFragment | plainUser
	}
	drop := func(class byteClass, chars string) {
		for i := range len(chars) {
			t[chars[i]] &^= class
		}
	}
	drop(plainPath, "\"#<>?`{}\\")
	drop(plainQuery, `"#<>'`)
	drop(plainFragment, "\"<>`")
	drop(plainUser, "\"#<>?`{}/:;=@[\\]^|")
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789-.") {
		t[c] |= plainHost
	}
	return t
}

// plainLen returns the length of the longest start of s that consists of bytes of class.
func plainLen(s string, class byteClass) int {
	for i := range len(s) {
		if byteClasses[s[i]]&class == 0 {
			return i
		}
	}
	return len(s)
}

func percentEncode(s string, plain byteClass) string {
	if plainLen(s, plain) == len(s) {
		return s
	}
	return string(appendPercentEncoded(nil, s, plain))
}

func appendPercentEncoded(out []byte, s string, plain byteClass) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if byteClasses[c]&plain != 0 {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return out
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// isHex reports whether c is a hexadecimal digit and its value.
func isHex(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case (c|0x20)-'a' <= 5:
		return (c | 0x20) - 'a' + 10, true
	}
	return 0, false
}

// appendPercentDecoded replaces %XX by its byte and leaves every other percent sign alone. plus says whether "+"
// means a space, as it does in a form.
func appendPercentDecoded(out []byte, s string, plus bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' && plus {
			c = ' '
		}
		if c == '%' && i+2 < len(s) {
			hi, ok1 := isHex(s[i+1])
			lo, ok2 := isHex(s[i+2])
			if ok1 && ok2 {
				c = hi<<4 | lo
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}

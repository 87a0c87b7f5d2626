package handler

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/valyala/fasthttp"
)

// Between a proxy and a server that read the same bytes as different messages, one client's request can be smuggled
// into another's connection. fasthttp is lenient: it takes a line feed for the end of a line, unfolds headers, keeps
// the last of several Hosts and lengths, and takes any coding for chunked. What follows is as strict as Node's parser
// (llhttp 9, not one of its lenient flags set), and with Host and Transfer-Encoding as strict as RFC 9112 asks for.
// TestStrict compares the two.

// largeHeader is the size of a header block, in bytes, after which a connection is not kept.
const largeHeader = 10 << 10

// checkMessage refuses what Node's parser would have refused before Next saw it, and bodies.
func checkMessage(ctx *fasthttp.RequestCtx, c *conn) error {
	header := &ctx.Request.Header
	if c != nil && c.bareLF {
		return errBadRequest
	}
	block := header.RawHeaders()
	f, ok := parseFields(block)
	if !ok || f.hosts > 1 || f.lengths+f.codings > 1 {
		return errBadRequest
	}
	if header.IsHTTP11() {
		if f.hosts == 0 && len(header.Host()) == 0 {
			return errBadRequest
		}
	} else if p := string(header.Protocol()); p != "HTTP/1.0" {
		return errBadRequest
	}
	if !ctx.IsGet() && !isToken(header.Method()) {
		return errBadRequest
	}
	if header.ContentLength() > 0 {
		return errBody
	}
	if len(block) > largeHeader {
		// fasthttp keeps its copies for the life of a connection, a hundred kilobytes for the longest headers.
		ctx.SetConnectionClose()
	}
	return nil
}

// fields is what the framing of a message depends on: how often its headers are there.
type fields struct {
	hosts, lengths, codings int
}

// parseFields reads a header block, from after the request line to the empty line, and reports false when there is
// anything in it that no server should guess the meaning of: a line that does not end in CR LF, a continued line, a
// name that is no token, a control character, a Host that is none, a length that is no number, a coding that is not
// chunked. A block of no bytes is one without headers.
func parseFields(block []byte) (f fields, ok bool) {
	for len(block) > 0 {
		end := bytes.IndexByte(block, '\n')
		if end < 1 || block[end-1] != '\r' {
			return f, false
		}
		line := block[:end-1]
		block = block[end+1:]
		if len(line) == 0 {
			return f, len(block) == 0
		}
		n := 0
		for n < len(line) && tokenBytes[line[n]] {
			n++
		}
		if n == 0 || n == len(line) || line[n] != ':' {
			return f, false
		}
		name, value := line[:n], line[n+1:]
		if !isFieldValue(value) {
			return f, false
		}
		switch {
		case n == len("Host") && isNamed(name, "host"):
			f.hosts++
			ok = isHost(trimOWS(value))
		case n == len("Content-Length") && isNamed(name, "content-length"):
			f.lengths++
			ok = isLength(trimOWS(value))
		case n == len("Transfer-Encoding") && isNamed(name, "transfer-encoding"):
			f.codings++
			ok = isNamed(trimOWS(value), "chunked")
		default:
			ok = true
		}
		if !ok {
			return f, false
		}
	}
	return f, true
}

// isNamed reports whether b is a name, which is given in lower case.
func isNamed(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		if c := b[i]; c != name[i] && (c < 'A' || 'Z' < c || c|0x20 != name[i]) {
			return false
		}
	}
	return true
}

// isToken reports whether b is made of what methods and names may be made of.
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return true
}

// isFieldValue reports whether b holds no control character but tabs.
func isFieldValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		// Eight bytes at once: whether one is below a space or DEL. A tab is looked at more closely.
		x := binary.LittleEndian.Uint64(b)
		del := x ^ 0x7f*ones
		if (x-0x20*ones)&^x&highs != 0 || (del-ones)&^del&highs != 0 {
			for _, c := range b[:8] {
				if isControl(c) {
					return false
				}
			}
		}
		b = b[8:]
	}
	for _, c := range b {
		if isControl(c) {
			return false
		}
	}
	return true
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// isHost reports whether b can be a Host: uri-host [":" port] of RFC 9112, which may be empty.
func isHost(b []byte) bool {
	for _, c := range b {
		if !hostBytes[c] {
			return false
		}
	}
	return true
}

// isLength reports whether b is one number of a size that fits anywhere.
func isLength(b []byte) bool {
	for _, c := range b {
		if c < '0' || '9' < c {
			return false
		}
	}
	return 0 < len(b) && len(b) <= 18
}

const alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var (
	tokenBytes = bytesOf(alphanumerics + "!#$%&'*+-.^_`|~")          // token of RFC 9110
	hostBytes  = bytesOf(alphanumerics + "-._~%!$&'()*+,;=" + ":[]") // reg-name, IP-literal and port of RFC 3986
)

func bytesOf(set string) (t [256]bool) {
	for i := range len(set) {
		t[set[i]] = true
	}
	return t
}

// isTarget reports whether a part of a request target holds only what Node's parser lets through: printable ASCII
// without spaces.
func isTarget(target string) bool {
	return strings.IndexFunc(target, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// isForm reports whether a request target has one of the forms that a server is sent: origin, absolute or asterisk.
func isForm(target []byte) bool {
	return len(target) > 0 && (target[0] == '/' || string(target) == "*" || bytes.Contains(target, []byte("://")))
}

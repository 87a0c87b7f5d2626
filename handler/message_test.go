package handler

import (
	"bufio"
	"bytes"
	"net/textproto"
	"strings"
	"testing"
)

func TestParseFields(t *testing.T) {
	for block, want := range map[string]fields{
		"":                                      {},
		"\r\n":                                  {},
		"Host: a\r\nAccept: image/webp\r\n\r\n": {hosts: 1},
		"HOST:a\r\nhost: b\r\n\r\n":             {hosts: 2},
		"Host:\r\n\r\n":                         {hosts: 1},
		"Host: [::1]:3000\r\n\r\n":              {hosts: 1},
		"X: tab\tand \xe4\r\nY: \t \r\n\r\n":    {},
		"Content-Length: 00\r\ncontent-LENGTH:\t5 \r\n\r\n": {lengths: 2},
		"Transfer-Encoding: Chunked\r\n\r\n":                {codings: 1},
		"Hos: a\r\nHostt: b\r\nContent_Length: x\r\n\r\n":   {},
		"X: 0123456789abcdefghijklmnopqrstuv\twxyz\r\n\r\n": {},
	} {
		if got, ok := parseFields([]byte(block)); !ok || got != want {
			t.Errorf("%q: %+v, %t; want %+v", block, got, ok, want)
		}
	}
	for _, block := range []string{
		"\n", "\r", "Host: a", "Host: a\r\n\r\nX: y\r\n", "Host: a\n\r\n", "Host: a\r\n\n", "Host: a\r\r\n\r\n", "Host: a\rX: y\r\n\r\n",
		" Host: a\r\n\r\n", "Host: a\r\n b\r\n\r\n", "Host: a\r\n\tb: c\r\n\r\n", "Host : a\r\n\r\n", ": a\r\n\r\n", "a\r\n\r\n", "H\xf6st: a\r\n\r\n", "X(: a\r\n\r\n",
		"Host: a b\r\n\r\n", "Host: a/b\r\n\r\n", "Host: u@h\r\n\r\n", "Host: a\"\r\n\r\n", "Host: \xe4\r\n\r\n",
		"Content-Length:\r\n\r\n", "Content-Length: -1\r\n\r\n", "Content-Length: +1\r\n\r\n", "Content-Length: 1,1\r\n\r\n", "Content-Length: 1 1\r\n\r\n",
		"Content-Length: 0x1\r\n\r\n", "Content-Length: 9999999999999999999\r\n\r\n",
		"Transfer-Encoding:\r\n\r\n", "Transfer-Encoding: identity\r\n\r\n", "Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding: chunked;a=b\r\n\r\n",
	} {
		if got, ok := parseFields([]byte(block)); ok {
			t.Errorf("%q: %+v, want none", block, got)
		}
	}
	// Wherever it is, and whatever is around it.
	for _, c := range []byte{0, 1, '\n', '\v', '\r', 0x1f, 0x7f} {
		for i := range 40 {
			value := bytes.Repeat([]byte("\tx\xff~ "), 8)
			value[i] = c
			if isFieldValue(value) {
				t.Errorf("%q", value)
			}
		}
	}
}

// What is taken for a header block is read the same way by a parser that knows no other.
func FuzzParseFields(f *testing.F) {
	for _, row := range golden[strictRow](f, "strict.json") {
		if len(row.Raw) == 0 || row.Raw[0].Times > 0 {
			continue
		}
		if _, block, ok := strings.Cut(string(fromBase64(f, row.Raw[0].Text)), "\r\n"); ok {
			f.Add([]byte(block))
		}
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		got, ok := parseFields(block)
		if !ok {
			return
		}
		if hasBareLF(0, block) || bytes.Contains(block, []byte("\r\r")) || hasControl(block) {
			t.Errorf("%q was taken", block)
		}
		if len(block) == 0 {
			return
		}
		if !bytes.HasSuffix(block, []byte("\r\n\r\n")) && string(block) != "\r\n" {
			return // cut short; the caller gives whole blocks only
		}
		header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(block))).ReadMIMEHeader()
		if err != nil {
			t.Fatalf("%q was taken: %v", block, err)
		}
		if want := (fields{len(header["Host"]), len(header["Content-Length"]), len(header["Transfer-Encoding"])}); got != want {
			t.Errorf("%q: %+v, want %+v", block, got, want)
		}
	})
}

func hasControl(block []byte) bool {
	for _, c := range block {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return true
		}
	}
	return false
}

// In whatever pieces bytes arrive, the same line feeds are found.
func FuzzBareLF(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 15)
	f.Add([]byte("\n\r\n\n"), 1)
	f.Add([]byte("\r"), 0)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		want := false
		for i, c := range b {
			want = want || c == '\n' && (i == 0 || b[i-1] != '\r')
		}
		if got := hasBareLF(0, b); got != want {
			t.Errorf("%q: %t", b, got)
		}
		if at < 1 || at >= len(b) {
			return
		}
		if got := hasBareLF(0, b[:at]) || hasBareLF(b[at-1], b[at:]); got != want {
			t.Errorf("%q, cut at %d: %t", b, at, got)
		}
	})
}

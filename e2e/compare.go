package e2e

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// hopByHop are the headers that are not compared: they describe one connection or the moment of the answer, not
// the answer (RFC 9110, 7.6.1).
var hopByHop = map[string]bool{
	"Connection":        true,
	"Date":              true,
	"Keep-Alive":        true,
	"Transfer-Encoding": true,
}

// Compare returns one line per difference between what Next.js answered and what the subject answered; none means
// equal. Compared are the status, every header that is not hop-by-hop (presence, every value, their order) and
// the bytes of the body. Bodies that both sides compressed with the same coding are compared decoded, since two
// compressors may write different streams for the same bytes.
func Compare(want, got *Response) []string {
	var diffs []string
	if want.Status != got.Status {
		diffs = append(diffs, fmt.Sprintf("status: want %d, got %d", want.Status, got.Status))
	}
	for _, name := range headerNames(want.Header, got.Header) {
		w, g := want.Header[name], got.Header[name]
		if !slices.Equal(w, g) {
			diffs = append(diffs, fmt.Sprintf("%s: want %s, got %s", name, headerText(w), headerText(g)))
		}
	}
	if d := compareBodies(want, got); d != "" {
		diffs = append(diffs, d)
	}
	return diffs
}

// headerNames returns the names to compare, sorted.
func headerNames(headers ...http.Header) []string {
	var names []string
	for _, h := range headers {
		for name := range h {
			if !hopByHop[name] && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// headerText shows the values of a header.
func headerText(values []string) string {
	if values == nil {
		return "absent"
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, " + ")
}

// compareBodies describes how the bodies differ, or returns "".
func compareBodies(want, got *Response) string {
	w, g := want.Body, got.Body
	if coding := want.Header.Get("Content-Encoding"); coding != "" && coding == got.Header.Get("Content-Encoding") {
		var err error
		if w, err = decode(coding, w); err != nil {
			return fmt.Sprintf("body: the wanted %s stream: %v", coding, err)
		}
		if g, err = decode(coding, g); err != nil {
			return fmt.Sprintf("body: the %s stream got: %v", coding, err)
		}
	}
	if bytes.Equal(w, g) {
		return ""
	}
	at := 0
	for at < len(w) && at < len(g) && w[at] == g[at] {
		at++
	}
	return fmt.Sprintf("body: want %s, got %s; they part at byte %d", bodyText(w), bodyText(g), at)
}

// decode undoes a content coding that Next.js' compression uses.
func decode(coding string, b []byte) ([]byte, error) {
	if len(b) == 0 { // the answer to HEAD
		return nil, nil
	}
	var r io.ReadCloser
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(b))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(b))
	default:
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// bodyText shows a short text as it is and anything else by size, first bytes and hash.
func bodyText(b []byte) string {
	if len(b) <= 200 && utf8.Valid(b) {
		return fmt.Sprintf("%q", b)
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("%d bytes (%x…, sha256 %x…)", len(b), b[:min(12, len(b))], sum[:4])
}

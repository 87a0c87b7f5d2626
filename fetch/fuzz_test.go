package fetch

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"imgopt/failure"
)

// FuzzDecode holds that decoding ends, stays within the limit and does not depend on how the data arrives.
func FuzzDecode(f *testing.F) {
	for i, row := range golden[decodeRow](f, "decode.json") {
		if i < 120 || i%8 == 0 {
			f.Add(row.encoding, row.body)
		}
	}
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		whole, err := decodeBytes(encoding, bytes.NewReader(body))
		if len(whole) > decodeLimit {
			t.Fatalf("%d bytes", len(whole))
		}
		parts, partsErr := decodeBytes(encoding, iotest.OneByteReader(bytes.NewReader(body)))
		if outcome(whole, err) != outcome(parts, partsErr) || err == nil && !bytes.Equal(whole, parts) {
			t.Fatalf("whole: %d bytes, %v; in parts: %d bytes, %v", len(whole), err, len(parts), partsErr)
		}
		var corrupt *corruptError
		if err != nil && !errors.Is(err, errTooLarge) && !errors.Is(err, errTooManyCodings) && !errors.As(err, &corrupt) {
			t.Fatalf("error of an unknown kind: %v", err)
		}
	})
}

// FuzzFilePath holds that no href reads anything but the files below the root.
func FuzzFilePath(f *testing.F) {
	for _, s := range []string{
		"/a.png", "/sub/b.png?x", "/../secret.png", "/..%2fsecret.png", "/sub/../../secret.png", "/%2e%2e/secret.png", "/%252e%252e%252fsecret.png", "/out.png", "/outdir/secret.png", "//secret.png", "/docs/a.png",
		"/a.png%00", `/..\secret.png`, "/sub%2f..%2f..%2fsecret.png", "/./a.png", "/.next/x", "/_next/static/m.png", "/_next/static/../../../secret.png", "/a.png#", "/%", "/\xff", "/.hidden", "/public/../../secret.png", "/\t../secret.png",
	} {
		f.Add(s, false)
		f.Add("/docs"+s, true)
	}
	parent := f.TempDir()
	root := filepath.Join(parent, "root")
	const good, secret = "good", "secret"
	write(f, parent, map[string]string{"secret.png": secret})
	write(f, root, map[string]string{"a.png": good, "sub/b.png": good, "_next/static/m.png": good})
	project := filepath.Join(parent, "project")
	write(f, project, map[string]string{"public/a.png": good, ".next/static/m.png": good, ".next/x": secret, "package.json": secret})
	if err := errors.Join(os.Symlink("../secret.png", filepath.Join(root, "out.png")), os.Symlink("..", filepath.Join(root, "outdir"))); err != nil {
		f.Fatal(err)
	}
	plain, next := newDirectoryClient(f, root, ""), newDirectoryClient(f, project, "/docs")
	f.Fuzz(func(t *testing.T, href string, isProject bool) {
		c := plain
		if isProject {
			c = next
		}
		src, err := c.Fetch(t.Context(), Request{Href: href})
		if err == nil {
			if string(src.Body) != good {
				t.Fatalf("%q: read %q", href, src.Body)
			}
			return
		}
		var fail *failure.Error
		if !errors.As(err, &fail) || fail.Text != failure.TextInternalInvalid || fail.Retryable || fail.Status != 404 && fail.Status != 400 && fail.Status != 500 {
			t.Fatalf("%q: %v", href, err)
		}
	})
}

// FuzzLocation holds that what a Location leads to is a url that can be sent as it is, or refused.
func FuzzLocation(f *testing.F) {
	for _, row := range golden[[3]string](f, "location.json") {
		f.Add(row[1])
	}
	f.Fuzz(func(t *testing.T, location string) {
		href, ok := resolveLocation("http://u:p@example.test/a/b?c#d", decodeLatin1(location))
		if !ok {
			return
		}
		if again, ok := resolveLocation(href, href); ok && again != href {
			t.Fatalf("%q is not in its final form: %q", href, again)
		}
		to, err := parseTarget(href)
		if err != nil {
			return
		}
		line := to.url.RequestURI()
		if to.url.Host == "" || strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || !strings.HasPrefix(line, "/") && !strings.HasPrefix(line, to.url.Scheme+"://"+to.url.Host+"//") {
			t.Fatalf("%q: host %q, request target %q", href, to.url.Host, line)
		}
		if !strings.HasPrefix(redact(href), to.url.Scheme+"://"+to.url.Host) {
			t.Fatalf("%q: not redacted", href)
		}
		if strings.ContainsAny(to.authorization, "\r\n") {
			t.Fatalf("%q: Authorization %q", href, to.authorization)
		}
	})
}

// FuzzRetryAfter holds that no header makes anyone wait for a negative time or more than a day.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "99999999999999999999", "Sat, 21 Nov 2026 19:35:44 GMT", "Saturday, 21-Nov-26 19:35:44 GMT", "Sat Nov 21 19:35:44 2026", " 7\t", "7s", "1e3"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 21, 19, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if d := parseRetryAfter(header, now); d < 0 || d > maxRetryAfter {
			t.Fatalf("%q: %v", header, d)
		}
	})
}

// FuzzLatin1 holds that a validator comes back to its upstream as it was.
func FuzzLatin1(f *testing.F) {
	for _, s := range []string{"", `"abc"`, `W/"5-18"`, "\"caf\xe9\"", "\xff\x80", "a\tb", "\u20ac"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		raw, ok := encodeLatin1(decodeLatin1(header))
		if clean := !strings.ContainsFunc(header, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); ok != clean || ok && raw != header {
			t.Fatalf("%q became %q, %v", header, raw, ok)
		}
		if h := (http.Header{"Etag": {header}}); ok && firstHeader(h, "ETag") != decodeLatin1(header) {
			t.Fatal("lost")
		}
	})
}

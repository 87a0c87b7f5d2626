package fetch

import (
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"imgopt/failure"
	"imgopt/validate"
)

// FuzzDecode holds that decoding ends, stays within the limit and does not depend on how the data arrives.
func FuzzDecode(f *testing.F) {
	for i, row := range golden[decodeRow](f, "decode.json") {
		if i < 120 || i%8 == 0 {
			f.Add(row.encoding, row.body)
		}
	}
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		m := &recorder{}
		whole, err := decodeInto(encoding, bytes.NewReader(body), m)
		if len(whole) > decodeLimit {
			t.Fatalf("%d bytes", len(whole))
		}
		if err == nil && m.now != int64(len(whole)) || m.peak > 2*decodeLimit+2*firstRead+maxCodings*(inputBuffer+brotliMemory+24<<20) {
			t.Fatalf("%d bytes, %d held, %d at the most", len(whole), m.now, m.peak)
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

// FuzzRedirectTarget holds that the rules of the request see the host in a redirect's target that is then connected to:
// what AllowRedirect judges is parsed by another program part (validate) than what resolved the Location here.
func FuzzRedirectTarget(f *testing.F) {
	for _, row := range golden[[3]string](f, "location.json") {
		f.Add(row[1])
	}
	for _, s := range []string{
		"http://a.test\\@b.test/", "http://a.test#@b.test", "http://a.test?@b.test", "http://a@b@c.test/", "http://a.test:80:81/", "http://[::1]/", "http://[::ffff:127.0.0.1]:80/x", "http://0x7f.1/", "http://%31%32%37.1/",
		"http://%EF%BC%91%EF%BC%92%EF%BC%97.1/", "http://xn--a/", "http://a.test%2f@b.test/", "http:\\a.test\\b", "//a.test:443/", "https://a.test:443/", "http://a..test/", "http://a.test./", "http://1.2.3.4.:80/", "http://a%00b/", "http://\xe9.test/", "http://ex%C3%A4mple.test",
	} {
		f.Add(s)
	}
	every := "**"
	rules, err := validate.Compile(validate.Options{DeviceSizes: []int{640}, RemotePatterns: []validate.RemotePattern{{Hostname: &every}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, location string) {
		href, ok := resolveLocation("https://u:p@example.test/a/b?c#d", decodeLatin1(location))
		if !ok {
			return
		}
		to, err := parseTarget(href)
		if err != nil {
			return
		}
		p, err := rules.Check("w=640&q=75&url="+url.QueryEscape(href), "")
		if err != nil {
			return // refused, whatever it is
		}
		judged, err := parseTarget(p.Href)
		if err != nil || judged.url.Scheme != to.url.Scheme || judged.url.Host != to.url.Host || judged.url.RequestURI() != to.url.RequestURI() {
			t.Fatalf("goes to %q, judged as %q (%v)", href, p.Href, err)
		}
	})
}

// FuzzOrigin holds that the origin of configured headers is found again when a url of it is fetched, and that neither
// origin nor value stands in an error.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://a.test", "http://A.test:80/", "https://a.test:8443", "http://[::1]:80", "http://127.1", "https://u:p@a.test", "a.test", "", "https://*.test", "https://a.test/x", "ftp://a", "https://\u00e4.test", "http://a:", "http://a:0443/", "https://a.test?", "http://a\\b"} {
		f.Add(s, "X-Key", "value")
	}
	f.Add("https://a.test", "Connection", "close")
	f.Add("https://a.test", "x y", "a\r\nb")
	f.Fuzz(func(t *testing.T, origin, name, value string) {
		const secret = "\u2603s3cret"
		compiled, err := compileHeaders([]OriginHeaders{{origin, http.Header{name: {value + secret}}}})
		if err != nil {
			if strings.Contains(err.Error(), secret) && !strings.Contains(origin+name, secret) {
				t.Fatalf("the value is told: %v", err)
			}
			return
		}
		for key, h := range compiled {
			to, err := parseTarget(key + "/")
			if err != nil || originOf(to.url.Scheme, to.url.Host) != key || len(compiled) != 1 || len(h) != 1 {
				t.Fatalf("%q became %q: %v", origin, key, err)
			}
			for name, values := range h {
				if name != http.CanonicalHeaderKey(name) || strings.ContainsAny(name+values[0], "\r\n\x00") {
					t.Fatalf("%q: %q", name, values)
				}
			}
			if href, ok := resolveLocation(origin, "/"); ok {
				if to, err := parseTarget(href); err != nil || originOf(to.url.Scheme, to.url.Host) != key {
					t.Fatalf("%q is %q, fetched as %q", origin, key, href)
				}
			}
		}
	})
}

// FuzzAddressRules holds that nothing but public and listed addresses passes, and that no way of writing an address
// makes another one of it.
func FuzzAddressRules(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "fe80::1%eth0", "8.8.8.8", "169.254.169.254", "2606:4700::1111", "fd00:ec2::254"} {
		f.Add(s, "10.0.0.0/8")
		f.Add(s, "::/0")
		f.Add(s, "0.0.0.0/0")
	}
	f.Fuzz(func(t *testing.T, address, prefix string) {
		addr, err := netip.ParseAddr(address)
		if err != nil {
			return
		}
		var list []netip.Prefix
		if p, err := netip.ParsePrefix(prefix); err == nil {
			list = append(list, p.Masked())
		}
		rules, err := newAddressRules(list)
		if err != nil {
			t.Fatalf("%v: %v", list, err)
		}
		allowed := rules.check("", addr) == nil
		if mapped := netip.AddrFrom16(addr.As16()); addr.Zone() == "" && (rules.check("", mapped) == nil) != allowed {
			t.Fatalf("%v is %v as it is, %v as %v", addr, allowed, !allowed, mapped)
		}
		if !allowed || addressRules(nil).check("", addr) == nil {
			return
		}
		plain := addr.Unmap()
		if len(rules) == 0 || !rules[0].Contains(plain) || plain.Zone() != "" {
			t.Fatalf("%v is allowed by %v", addr, list)
		}
		if slices.Contains(metadata, plain) && !rules[0].IsSingleIP() {
			t.Fatalf("%v is allowed by %v", addr, list)
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

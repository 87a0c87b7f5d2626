package handler

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/validate"
)

// wireRow is a request and what a real `next start` answered: see testdata/record.mjs.
type wireRow struct {
	Variant string
	Request string // base64
	Status  int
	Headers map[string]string
	Body    string // base64, after decoding of its content coding
}

// TestWire sends what Next was sent and wants what Next answered: status, every header but those of the
// connection and Date, and the body. The images are Next's own; what surrounds them is ours.
func TestWire(t *testing.T) {
	variants := map[string]func(*Options){
		"default": nil,
		"slash":   func(o *Options) { o.TrailingSlash = true },
		"base":    func(o *Options) { o.BasePath = "/base" },
		"slash-both-inline": func(o *Options) {
			o.TrailingSlash, o.SkipTrailingSlashRedirect = true, true
			o.ContentDispositionType, o.ContentSecurityPolicy = "inline", "default-src 'self'"
		},
		"plain": func(o *Options) { o.NoCompress = true },
	}
	rows := golden[wireRow](t, "wire.json")
	addresses := map[string]string{}
	images := map[string]*recorded{}
	for variant, change := range variants {
		images[variant] = newRecorded(t, variant, rows)
		addresses[variant] = start(t, images[variant], change)
	}
	for _, row := range rows {
		raw := string(fromBase64(t, row.Request))
		line, _, _ := strings.Cut(raw, "\r\n")
		t.Run(row.Variant+" "+line, func(t *testing.T) {
			images[row.Variant].state = cache.State(row.Headers["x-nextjs-cache"])
			got := send(t, addresses[row.Variant], raw)
			if got.StatusCode != row.Status {
				t.Fatalf("status %d, want %d; body %q", got.StatusCode, row.Status, got.body)
			}
			headers := map[string]string{}
			for name, values := range got.Header {
				headers[strings.ToLower(name)] = strings.Join(values, ", ")
			}
			delete(headers, "date")
			delete(headers, "connection")
			if !strings.Contains(line, "HTTP/1.1") || len(row.Headers) == 0 && row.Status == 400 && len(got.body) == 0 {
				// Node's parser answers bad requests itself, and old clients without a length.
				if _, ok := row.Headers["content-length"]; !ok {
					delete(headers, "content-length")
				}
			}
			if !maps.Equal(headers, row.Headers) {
				t.Errorf("headers:\n got %v\nwant %v", headers, row.Headers)
			}
			if want := fromBase64(t, row.Body); !bytes.Equal(decode(t, got.body, headers["content-encoding"]), want) {
				t.Errorf("body: got %q, want %q", got.body, want)
			}
		})
	}
}

func decode(t *testing.T, body []byte, coding string) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "deflate":
		r, err = zlib.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if body, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return body
}

// recorded are the images and failures that Next made.
type recorded struct {
	entries  map[imageKey]*cache.Entry
	failures map[imageKey]*failure.Error
	state    cache.State
}

type imageKey struct{ href, format string }

func newRecorded(t *testing.T, variant string, rows []wireRow) *recorded {
	t.Helper()
	r := &recorded{entries: map[imageKey]*cache.Entry{}, failures: map[imageKey]*failure.Error{}}
	base := ""
	if variant == "base" {
		base = "/base"
	}
	rules := rulesWith(t, base)
	for _, row := range rows {
		lines := strings.Split(string(fromBase64(t, row.Request)), "\r\n")
		_, query, ok := strings.Cut(strings.Fields(lines[0])[1], "?")
		if row.Variant != variant || !ok || row.Status == 308 {
			continue
		}
		var accept []string
		for _, l := range lines {
			if v, ok := strings.CutPrefix(l, "Accept: "); ok {
				accept = append(accept, v)
			}
		}
		p, err := rules.Check(query, strings.Join(accept, ", "))
		body := fromBase64(t, row.Body)
		if err != nil || len(body) == 0 {
			continue
		}
		key := imageKey{p.Href, p.Format}
		if row.Status != 200 {
			r.failures[key] = failure.New(row.Status, "recorded", string(body))
			continue
		}
		_, after, _ := strings.Cut(row.Headers["cache-control"], "max-age=")
		seconds, err := strconv.Atoi(strings.FieldsFunc(after, func(r rune) bool { return r == ',' })[0])
		if err != nil {
			t.Fatal(err)
		}
		contentType := row.Headers["content-type"]
		if p.Format != "" && strings.HasPrefix(p.Format, contentType) {
			contentType = p.Format // what the optimizer puts into an entry
		}
		r.entries[key] = &cache.Entry{Href: p.Href, Body: body, ContentType: contentType, ETag: row.Headers["etag"], MaxAge: int64(seconds)}
	}
	if len(r.entries) == 0 {
		t.Fatalf("nothing recorded for %s", variant)
	}
	return r
}

func (r *recorded) Lookup(p validate.Params) (Result, bool) {
	e, ok := r.entries[imageKey{p.Href, p.Format}]
	return Result{Entry: e, State: r.state}, ok && r.state != cache.Miss
}

func (r *recorded) Get(ctx context.Context, p validate.Params) (Result, error) {
	if _, ok := ctx.Deadline(); !ok {
		return Result{}, errors.New("no deadline")
	}
	if e, ok := r.entries[imageKey{p.Href, p.Format}]; ok {
		return Result{Entry: e, State: r.state}, nil
	}
	if f, ok := r.failures[imageKey{p.Href, p.Format}]; ok {
		return Result{}, f
	}
	known := slices.Collect(maps.Keys(r.entries))
	return Result{}, errors.New("never recorded: " + p.Href + " as " + p.Format + "; known: " + strconv.Itoa(len(known)))
}

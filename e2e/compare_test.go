package e2e

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
)

// answer returns a typical answer for tests to alter.
func answer() *Response {
	return &Response{
		Status: 200,
		Header: http.Header{
			"Cache-Control":  {"public, max-age=60, must-revalidate"},
			"Content-Length": {"4"},
			"Date":           {"Sat, 21 Nov 2026 19:29:37 GMT"},
			"Etag":           {"abc"},
			"Vary":           {"Accept", "Accept-Encoding"},
		},
		Body: []byte("\x89PNG"),
	}
}

// TestCompare shows that the comparer can fail: every single alteration is found.
func TestCompare(t *testing.T) {
	for name, alter := range map[string]struct {
		change func(*Response)
		want   string // the beginning of the only difference; "": none
	}{
		"nothing":          {func(*Response) {}, ""},
		"status":           {func(r *Response) { r.Status = 304 }, "status: want 200, got 304"},
		"a value":          {func(r *Response) { r.Header["Etag"] = []string{"abd"} }, `Etag: want "abc", got "abd"`},
		"case of a value":  {func(r *Response) { r.Header["Etag"] = []string{"ABC"} }, `Etag: want "abc", got "ABC"`},
		"space in a value": {func(r *Response) { r.Header["Etag"] = []string{"a bc"} }, `Etag: want "abc", got "a bc"`},
		"a missing header": {func(r *Response) { delete(r.Header, "Etag") }, `Etag: want "abc", got absent`},
		"an empty header":  {func(r *Response) { r.Header["Etag"] = []string{""} }, `Etag: want "abc", got ""`},
		"one header more":  {func(r *Response) { r.Header["Server"] = []string{"x"} }, `Server: want absent, got "x"`},
		"a line less":      {func(r *Response) { r.Header["Vary"] = []string{"Accept"} }, `Vary: want "Accept" + "Accept-Encoding", got "Accept"`},
		"two lines joined": {func(r *Response) { r.Header["Vary"] = []string{"Accept, Accept-Encoding"} }, "Vary: want"},
		"order of lines":   {func(r *Response) { r.Header["Vary"] = []string{"Accept-Encoding", "Accept"} }, "Vary: want"},
		"length":           {func(r *Response) { r.Header["Content-Length"] = []string{"5"} }, "Content-Length: want"},
		"a byte":           {func(r *Response) { r.Body = []byte("\x89PNg") }, "body: want"},
		"a byte less":      {func(r *Response) { r.Body = []byte("\x89PN") }, "body: want"},
		"a byte more":      {func(r *Response) { r.Body = []byte("\x89PNGx") }, "body: want"},
		"no body":          {func(r *Response) { r.Body = nil }, "body: want"},
		"date":             {func(r *Response) { r.Header["Date"] = []string{"x"} }, ""},
		"connection headers": {func(r *Response) {
			r.Header["Connection"], r.Header["Keep-Alive"] = []string{"close"}, []string{"timeout=5"}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := answer()
			alter.change(got)
			diffs := Compare(answer(), got)
			if alter.want == "" {
				if len(diffs) != 0 {
					t.Fatalf("differences %q", diffs)
				}
				return
			}
			if len(diffs) != 1 || !strings.HasPrefix(diffs[0], alter.want) {
				t.Fatalf("differences %q, want one that begins with %q", diffs, alter.want)
			}
		})
	}
}

// zipped returns b as a gzip stream of the given level.
func zipped(t *testing.T, b []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestCompareCompressed(t *testing.T) {
	text := bytes.Repeat([]byte("<circle/>"), 100)
	coded := func(body []byte) *Response {
		return &Response{Status: 200, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: body}
	}
	want := coded(zipped(t, text, gzip.BestCompression))
	if d := Compare(want, coded(zipped(t, text, gzip.NoCompression))); len(d) != 0 {
		t.Errorf("the same bytes in two streams differ: %q", d)
	}
	if d := Compare(want, coded(zipped(t, text[1:], gzip.BestCompression))); len(d) != 1 {
		t.Errorf("other bytes in a stream: %q", d)
	}
	if d := Compare(want, coded([]byte("no stream"))); len(d) != 1 {
		t.Errorf("no stream: %q", d)
	}
	if d := Compare(want, &Response{Status: 200, Header: http.Header{}, Body: text}); len(d) != 2 {
		t.Errorf("not compressed: %q", d)
	}
}

func TestRecorder(t *testing.T) {
	rec := &Recorder{}
	any502 := &Allowance{Name: "any 502", Check: func(_, got *Response) error {
		if got.Status != 502 {
			return http.ErrNotSupported
		}
		return nil
	}}
	other := answer()
	other.Status = 502
	third := answer()
	third.Status = 503
	for _, c := range []struct {
		got   *Response
		allow *Allowance
		want  Outcome
	}{
		{answer(), nil, Equal}, {answer(), any502, Equal}, {other, any502, Allowed}, {other, nil, Failed}, {third, any502, Failed},
	} {
		r := Result{Group: "b", Variant: "v", Name: "n", Curl: []string{"curl x"}}
		if got := rec.Judge(r, answer(), c.got, c.allow); got != c.want {
			t.Errorf("status %d: outcome %d, want %d", c.got.Status, got, c.want)
		}
	}
	rec.Add(Result{Group: "a", Outcome: Failed, Diffs: []string{"x"}})
	results := rec.Results()
	table := Table(results)
	for _, line := range []string{"a 1 0 0 1", "b 5 2 1 2", "all 6 2 1 3"} {
		if !strings.Contains(strings.Join(strings.Fields(table), " "), line) {
			t.Errorf("no row %q in\n%s", line, table)
		}
	}
	dir := t.TempDir()
	if err := WriteReport(dir, []string{"about <it>"}, results); err != nil {
		t.Fatal(err)
	}
}

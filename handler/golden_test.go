package handler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// golden reads one of the tables that testdata/golden.mjs made with the real modules.
func golden[T any](t testing.TB, name string) []T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(rows) < 50 {
		t.Fatalf("%s: only %d rows", name, len(rows))
	}
	return rows
}

// bytes1 is a header as Node sends it: a string of JavaScript, none of whose characters is above 0xff here.
func bytes1(t testing.TB, s *string) []byte {
	t.Helper()
	if s == nil {
		return nil
	}
	out := make([]byte, 0, len(*s))
	for _, r := range *s {
		if r > 0xff {
			t.Fatalf("%q is not Latin-1", *s)
		}
		out = append(out, byte(r))
	}
	return out
}

type freshRow struct {
	INM, IMS, CC *string
	ETag         string
	Fresh        bool
}

func TestFreshGolden(t *testing.T) {
	trues := 0
	for _, r := range golden[freshRow](t, "fresh.json") {
		if got := isFresh(bytes1(t, r.INM), bytes1(t, r.IMS), bytes1(t, r.CC), r.ETag); got != r.Fresh {
			t.Errorf("isFresh(%q, %q, %q, %q) = %v, want %v", bytes1(t, r.INM), bytes1(t, r.IMS), bytes1(t, r.CC), r.ETag, got, r.Fresh)
		}
		if r.Fresh {
			trues++
		}
	}
	if trues < 50 {
		t.Errorf("only %d rows are fresh", trues)
	}
}

type dispositionRow struct{ URL, Type, Kind, Header string }

func TestDispositionGolden(t *testing.T) {
	for _, r := range golden[dispositionRow](t, "disposition.json") {
		m, ok := lookupMediaType(r.Type)
		if !ok {
			t.Fatalf("no media type %q", r.Type)
		}
		got := contentDisposition(r.Kind, fileName(r.URL, m))
		if want := bytes1(t, &r.Header); string(got) != string(want) {
			t.Errorf("%q as %s:\n got %q\nwant %q", r.URL, r.Type, got, want)
		}
	}
}

type mediaRow struct {
	Type, Extension, Served string
	Compressible            bool
}

func TestMediaGolden(t *testing.T) {
	for _, r := range golden[mediaRow](t, "media.json") {
		m, ok := lookupMediaType(r.Type)
		if want := (mediaType{r.Served, r.Extension, r.Compressible}); m != want || ok != (r.Extension != "") {
			t.Errorf("%q: got %+v, %v, want %+v", r.Type, m, ok, want)
		}
	}
}

type encodingRow struct {
	Accept *string
	Coding string
}

func TestAcceptedCodingGolden(t *testing.T) {
	for _, r := range golden[encodingRow](t, "encoding.json") {
		// The HTTP parser trims the value.
		if got := acceptedCoding(string(trimOWS(bytes1(t, r.Accept)))); got != r.Coding {
			t.Errorf("acceptedCoding(%q) = %q, want %q", bytes1(t, r.Accept), got, r.Coding)
		}
	}
}

type redirectRow struct{ Kind, Target, Location string }

func TestRedirectGolden(t *testing.T) {
	kinds := map[string]route{"slash": routeSlash, "repeated": routeRepeated}
	for _, r := range golden[redirectRow](t, "redirect.json") {
		path, query, fragment := splitTarget([]byte(r.Target))
		o := testOptions()
		if len(path) > 5 && string(path[:5]) == "/base" {
			o.BasePath = "/base"
		}
		// The other spelling is the right one.
		o.TrailingSlash = r.Kind == "slash" && path[len(path)-1] != '/'
		s, err := newSettings(o)
		if err != nil {
			t.Fatal(err)
		}
		kind := s.classify(string(path))
		if kind != kinds[r.Kind] {
			t.Errorf("classify(%q) = %d, want %d", path, kind, kinds[r.Kind])
			continue
		}
		if got := s.location(kind, string(path), string(query), string(fragment)); got != r.Location {
			t.Errorf("%s %q:\n got %q\nwant %q", r.Kind, r.Target, got, r.Location)
		}
	}
}

func testOptions() Options {
	return Options{
		ContentSecurityPolicy:  "script-src 'none'; frame-src 'none'; sandbox;",
		ContentDispositionType: "attachment",
	}
}

package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// effective is one configuration of every kind, for printing.
func effective(t *testing.T) map[string]Sources {
	t.Helper()
	manifest := t.TempDir()
	copyBuild(t, "patterns", manifest, imagesManifest, routesManifest)
	all := map[string]Sources{
		"defaults": {},
		"explicit": {
			File:  "testdata/imgopt.yaml",
			Env:   []string{"IMGOPT_IMAGES_DOMAINS=yes,'1, #x", "IMGOPT_CACHE_MEMORY=1.5GiB"},
			Flags: []Flag{{"nextDir", "testdata/next/basepath"}, {"log.level", "debug"}, {"timeout", "1m30s"}},
		},
		"images manifest": {Flags: []Flag{{"nextDir", manifest}}},
	}
	for _, build := range []string{"defaults", "patterns", "basepath", "unoptimized", "loader", "standalone", "next15"} {
		all["next "+build] = Sources{Flags: []Flag{{"nextDir", "testdata/next/" + build}}}
	}
	for _, k := range keys().keys {
		s := Sources{Env: []string{k.env() + "=" + sample(t, k)}}
		if c, ok := companions[k.path]; ok {
			s.Flags = c
		}
		all["key "+k.path] = s
	}
	return all
}

func TestPrintRoundTrip(t *testing.T) {
	for name, sources := range effective(t) {
		want, p := mustLoad(t, sources)
		var text, asJSON strings.Builder
		if err := Print(&text, want, p); err != nil {
			t.Fatal(err)
		}
		if err := PrintJSON(&asJSON, want, p); err != nil {
			t.Fatal(err)
		}
		var parts struct {
			Config  json.RawMessage
			Origins map[string]struct{ Layer, Name string }
		}
		if err := json.Unmarshal([]byte(asJSON.String()), &parts); err != nil {
			t.Fatal(err)
		}
		if name == "key tracing.headers" { // likewise, see below
			for _, out := range []string{text.String(), asJSON.String()} {
				if strings.Contains(out, "s3cret") || !strings.Contains(out, "authorization=redacted") {
					t.Errorf("%s: %s", name, out)
				}
			}
			continue
		}
		if name == "key fetch.headers" { // which has a secret, so that the output cannot be read back
			for _, out := range []string{text.String(), asJSON.String()} {
				if strings.Contains(out, "s3cret") || !strings.Contains(out, "Authorization") || !strings.Contains(out, "redacted") {
					t.Errorf("%s: %s", name, out)
				}
			}
			continue
		}
		if name == "key debug.serverTimingToken" || name == "key debug.serverTiming" {
			if strings.Contains(text.String()+asJSON.String(), "s3cret") {
				t.Errorf("%s: %s", name, text.String())
			}
			continue
		}
		if name == "key storage.url" { // likewise
			for _, out := range []string{text.String(), asJSON.String()} {
				if strings.Contains(out, "s3cret") || !strings.Contains(out, "valkeys://redacted@a.example.com:6380,b.example.com:6380?cluster=true") {
					t.Errorf("%s: %s", name, out)
				}
			}
			continue
		}
		for form, content := range map[string]string{"YAML": text.String(), "JSON": string(parts.Config)} {
			got, _, err := Load(Sources{File: writeFile(t, content)})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %v\ngot  %+v\nwant %+v\n%s", name, form, err, got, want, content)
			}
		}
		for _, k := range keys().keys {
			if o := parts.Origins[k.path]; o.Layer != p.Of(k.path).Kind.String() || o.Name != p.Of(k.path).Name {
				t.Errorf("%s: JSON origin of %s is %+v", name, k.path, o)
			}
		}
	}
}

func TestPrintGolden(t *testing.T) {
	c, p := mustLoad(t, effective(t)["explicit"])
	var b strings.Builder
	if err := Print(&b, c, p); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/print.yaml", []byte(b.String()))
	b.Reset()
	if err := PrintJSON(&b, c, p); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/print.json", []byte(b.String()))
}

// TestPrintRedacts expects no secret in any output, and that what was left out cannot be taken for a value.
func TestPrintRedacts(t *testing.T) {
	c, p := mustLoad(t, Sources{Env: []string{"IMGOPT_ORIGIN=http://user:s3cret@host:1,http://t0ken@other"}})
	if c.Origin[0] != "http://user:s3cret@host:1" {
		t.Fatalf("origin %q", c.Origin)
	}
	var text, asJSON strings.Builder
	if err := Print(&text, c, p); err != nil {
		t.Fatal(err)
	}
	if err := PrintJSON(&asJSON, c, p); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{text.String(), asJSON.String()} {
		if strings.Contains(out, "s3cret") || strings.Contains(out, "user") || strings.Contains(out, "t0ken") || !strings.Contains(out, "http://redacted@host:1") {
			t.Errorf("not redacted: %s", out)
		}
	}
	file := writeFile(t, text.String())
	_, _, err := Load(Sources{File: file})
	want := file + `:3: origin[0]: "http://redacted@host:1": holds "redacted" in place of a secret that "imgopt config" left out; put the secret back`
	if err == nil || !strings.HasPrefix(err.Error(), want+"\n") {
		t.Errorf("got %v, want %s", err, want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestPrintFails(t *testing.T) {
	c, p := mustLoad(t, Sources{})
	if err := Print(brokenWriter{}, c, p); err == nil {
		t.Error("Print: no error")
	}
	if err := PrintJSON(brokenWriter{}, c, p); err == nil {
		t.Error("PrintJSON: no error")
	}
}

// check is what holds for every input: errors are single lines, and a configuration survives being printed.
func check(t *testing.T, s Sources) {
	c, p, err := Load(s)
	if err != nil {
		errs, ok := err.(Errors)
		if !ok || len(errs) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, e := range errs {
			if strings.ContainsAny(e.Error(), "\n\r\t\x00") || e.Problem == "" {
				t.Errorf("%q", e.Error())
			}
		}
		return
	}
	var b strings.Builder
	if err := Print(&b, c, p); err != nil {
		t.Fatal(err)
	}
	for _, o := range c.Origin {
		if strings.Contains(o, "@") {
			return
		}
	}
	got, _, err := Load(Sources{File: writeFile(t, b.String())})
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%v\ngot  %+v\nwant %+v\n%s", err, got, c, b.String())
	}
}

func FuzzFile(f *testing.F) {
	bad, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(bad, "testdata/imgopt.yaml", "testdata/print.yaml", "testdata/print.json") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("images: &a\n  qualities: [*a]\n? [x]\n: y\n<<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, Sources{File: writeFile(t, string(data))})
	})
}

func FuzzEnv(f *testing.F) {
	for _, k := range keys().keys {
		f.Add(k.env(), k.def)
	}
	f.Add("IMGOPT_ORIGIN", "[http://a,b]")
	f.Add("IMGOPT_IMAGES_REMOTE_PATTERNS", `["https://user@a/b","http://*.x"]`)
	f.Add("IMGOPT_PORT", "tcp://1")
	f.Fuzz(func(t *testing.T, name, value string) {
		check(t, Sources{Env: []string{name + "=" + value}, Flags: []Flag{{strings.ToLower(strings.TrimPrefix(name, "IMGOPT_")), value}}})
	})
}

func FuzzManifest(f *testing.F) {
	for _, build := range []string{"patterns", "next15"} {
		for _, file := range []string{serverFilesManifest, imagesManifest} {
			data, err := os.ReadFile(filepath.Join("testdata", "next", build, file))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, file == imagesManifest)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, images bool) {
		dir := t.TempDir()
		name := serverFilesManifest
		if images {
			name = imagesManifest
			copyBuild(t, "basepath", dir, routesManifest)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, Sources{Flags: []Flag{{"nextDir", dir}}})
	})
}

func FuzzByteSize(f *testing.F) {
	for _, s := range []string{"0", "1.5GiB", "256MiB", "9223372036854775807", "1e3", "8388607TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseByteSize(s)
		if err != nil {
			return
		}
		if back, err := ParseByteSize(b.String()); b < 0 || err != nil || back != b {
			t.Errorf("%q → %d → %s → %d, %v", s, int64(b), b, back, err)
		}
	})
}

// FuzzJSON reads JSON text as JSON and as a configuration file is read: the same, since JSON is a subset.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`\/\ud83d\uDE00\u00e9`, `\ud83d`, `\ude00\ud83d\u0041`, `\ud83d\\ude00`, `\"\\\b\f\n\r\t`, `é😀: # '`, `\u2028\ufeff\u0085`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		data := []byte("{\t\"a\":\n\t[\t\"" + s + "\"\t]\t}")
		var want map[string][]string
		if !utf8.Valid(data) || json.Unmarshal(data, &want) != nil || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return
		}
		n, err := parseYAML(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var got map[string][]string
		if err := n.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q, %v", data, got, want, err)
		}
	})
}

package libvips_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"imgopt/failure"
	"imgopt/transform"
	"imgopt/transform/libvips"
)

const images = "../../testdata/images"

// imageCase is one line of cases.json: what the real Next.js and sharp make of a file.
type imageCase struct {
	Name, File, Group, Type, Answer, Text string
	Animated, Heavy                       bool
	Status                                int
	Next                                  struct {
		Variants []struct {
			Width                        int
			Format, Answer, Type, SHA256 string
		}
	}
}

func loadCases(t *testing.T) []imageCase {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(images, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []imageCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 300 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

func readImage(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(images, file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every image gets from Decide and the engine what Next.js made of it, to the byte. The hashes were measured on
// x86-64 with the pinned libvips; elsewhere the bytes may differ and only the kind of answer is compared.
func TestCorpusEqualsNext(t *testing.T) {
	sameBytes := runtime.GOARCH == "amd64" && strings.HasPrefix(libvips.Version(), "8.18.7")
	opts := next
	opts.Workers = runtime.GOMAXPROCS(0)
	opts.Timeout = 0 // the limit is tested elsewhere; here it would make a slow machine a difference
	e := engine(t, opts)
	for _, c := range loadCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			if c.Heavy {
				t.Skip("takes seconds and a gigabyte; the codec pool's tests have limits for such")
			}
			t.Parallel()
			src := readImage(t, c.File)
			for _, v := range c.Next.Variants {
				if v.Format == transform.AVIF && v.Width > 64 {
					continue // ten times the time of all others together; the differential test does it
				}
				compare(t, e, c, src, v.Width, v.Format, v.Answer, v.Type, v.SHA256, sameBytes)
			}
		})
	}
}

func compare(t *testing.T, e transform.Engine, c imageCase, src []byte, width int, format, answer, media, hash string, sameBytes bool) {
	t.Helper()
	plan, err := transform.Decide(src, format, false)
	if err != nil {
		if f := failure.From(err); answer != "error" || c.Status != f.Status || c.Text != "" && c.Text != f.Text && c.Name != "mislabelled-empty" {
			t.Errorf("w=%d %s: %v; Next.js: %s %d %s", width, format, err, answer, c.Status, c.Text)
		}
		return
	}
	if plan.Passthrough {
		if answer != "passthrough" || plan.Output != media {
			t.Errorf("w=%d %s: passed through as %s; Next.js: %s %s", width, format, plan.Output, answer, media)
		}
		return
	}
	out, err := e.Encode(t.Context(), src, transform.Spec{Output: plan.Output, Width: width, Quality: 75})
	var codec *transform.CodecError
	switch {
	case errors.As(err, &codec):
		if answer != "fallback" {
			t.Errorf("w=%d %s: %v; Next.js: %s", width, format, err, answer)
		}
	case err != nil:
		t.Errorf("w=%d %s: %v", width, format, err)
	case answer != "optimized" || plan.Output != media:
		t.Errorf("w=%d %s: encoded as %s; Next.js: %s %s", width, format, plan.Output, answer, media)
	case sameBytes:
		if sum := sha256.Sum256(out); hex.EncodeToString(sum[:]) != hash {
			t.Errorf("w=%d %s: %d bytes that are not Next.js'", width, format, len(out))
		}
	}
}

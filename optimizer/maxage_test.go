package optimizer

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestParseMaxAgeEqualsNext(t *testing.T) {
	b, err := os.ReadFile("testdata/maxage.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Header  string `json:"header"`
		Seconds int64  `json:"seconds"`
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 100 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		if got := parseMaxAge(c.Header); got != c.Seconds {
			t.Errorf("%q: %d, want %d", c.Header, got, c.Seconds)
		}
	}
}

func FuzzParseMaxAge(f *testing.F) {
	for _, s := range []string{"", "max-age=60", "s-maxage=\"5\", max-age=7", "max-age=99999999999999999999", "max-age=-1", "max-age=\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if n := parseMaxAge(header); n < 0 && !strings.Contains(header, "-") {
			t.Fatalf("%q: %d: overflow", header, n)
		}
	})
}

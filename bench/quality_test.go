package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgopt/bench/quality/protocol"
	"imgopt/transform"
)

// madeUp are results in which fast takes half the time of next and small two thirds of the bytes, with scores that differ
// by fast and small points.
func madeUp(fast, small float64) *qualityResult {
	plan := qualityPlan{Widths: []int{640, 828}, Qualities: []int{50, 75}, Main: 75, MainWidth: 828, Second: 640}
	r := &qualityResult{qualityPlan: plan, Photos: 2, Tools: map[string]string{"scorer": "1.2"}, Columns: qualityColumns, Encodings: usedEncodings(plan.Qualities)}
	for i, c := range plan.cases([]string{"dir/a.jpg", "dir/b.jpg"}) {
		next := qualityImage{Photo: photoName(c.photo), Width: c.width, Quality: c.quality, Format: c.format, Profile: transform.ProfileNext,
			Bytes: int64(3000 * (i + 1)), Score: float64(c.quality), CPU: []float64{0.3, 0.5}}
		if c.width == plan.Second {
			next.Norm = 1
		}
		quick, little, cheap := next, next, next
		quick.Profile, quick.CPU, quick.Score = transform.ProfileFast, []float64{0.15, 0.25}, next.Score+fast
		little.Profile, little.Bytes, little.Score = transform.ProfileSmall, next.Bytes*2/3, next.Score+small
		r.Images = append(r.Images, next, quick, little)
		if profiles, _ := plan.encodings(c); len(profiles) == 4 {
			cheap.Profile, cheap.CPU = bare, []float64{0.1, 0.1}
			r.Images = append(r.Images, cheap)
		}
	}
	return r
}

func TestQualityPlan(t *testing.T) {
	photos := []string{"a", "b", "c"}
	seen := map[qualityCase]bool{}
	for _, c := range fullQuality.cases(photos) {
		if seen[c] {
			t.Errorf("%+v twice", c)
		}
		seen[c] = true
	}
	for c, want := range map[qualityCase]bool{
		{"a", 1920, 75, "avif", transform.AVIF}: true,
		{"c", 1920, 75, "avif", transform.AVIF}: false, // every third photo
		{"b", 828, 75, "webp", transform.WebP}:  false, // every second
		{"c", 828, 75, "webp", transform.WebP}:  true,
		{"c", 828, 50, "jpeg", transform.JPEG}:  false, // one width only
		{"b", 640, 50, "jpeg", transform.JPEG}:  true,
		{"b", 640, 75, "jpeg", transform.JPEG}:  true,
	} {
		if seen[c] != want {
			t.Errorf("%+v: %v", c, seen[c])
		}
	}
	if len(seen) != 3*(1+2+3*3) {
		t.Errorf("%d cases", len(seen))
	}
	bares := 0
	for c := range seen {
		profiles, encodings := fullQuality.encodings(c)
		if len(profiles) != len(encodings) {
			t.Errorf("%+v: %d encodings of %v", c, len(encodings), profiles)
		}
		if len(profiles) > 3 {
			bares++
		}
	}
	if bares != 1+2+3 {
		t.Errorf("decoding alone is measured %d times", bares)
	}
}

func TestQualityResult(t *testing.T) {
	r := madeUp(0.25, -1.5)
	x := r.beside(transform.ProfileSmall, "webp")
	if len(x) != 6 || len(x.with(asked(50))) != 2 || len(x.with(wide(640))) != 2 {
		t.Fatalf("%d images", len(x))
	}
	if got := x.bytes(); math.Abs(got-2./3) > 1e-9 {
		t.Errorf("bytes: %v", got)
	}
	if worst, share := x.lost(); worst != -1.5 || math.Abs(share-1) > 1e-9 {
		t.Errorf("lost %v, %v", worst, share)
	}
	if next, mine, ok := x.norms(); next != 1 || mine != 1 || !ok {
		t.Errorf("norms %v %v %v", next, mine, ok)
	}
	if _, _, ok := x.with(wide(828)).norms(); ok {
		t.Error("norms that were not measured")
	}
	claims := map[string]claim{}
	for _, c := range r.claims() {
		if c.Case == "webp" {
			claims[c.Target] = c
		}
	}
	for target, want := range map[string][]float64{"fast-cpu": {0.5, 0.5}, "fast-score": {0.25}, "small-bytes": {2. / 3}, "small-score": {-1.5}} {
		got := claims[target].Values
		if len(got) != len(want) {
			t.Fatalf("%s: %v", target, got)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-9 {
				t.Errorf("%s: %v, want %v", target, got, want)
			}
		}
	}
	var b strings.Builder
	r.table(&b, 2)
	claimTable(&b, r.claims())
	for _, want := range []string{
		"scorer 1.2",
		"| webp | `fast` | 50 | 50.00 | 50.25 | +0.25 | +0.25 | 0 % | | | 1.000× | 0.50× |",
		"| webp | `small` | 75 | 75.00 | 73.50 | -1.50 | -1.50 | 100 % | 1.000 | 1.000 | 0.667× | 1.00× |",
		"| avif | 640 | 100 | 400 | 200 | 0.50× | 0.33× | 400 | 1.00× | 1.00× |",
		"| avif | `next` | 31, 47 | effort 3, 4:4:4 |",
		"| webp | profile `next` | ≥ +0.00 points | +0.25 (+0.25–+0.25) | yes |",
		"| webp | profile `next` | ≥ +0.00 points | -1.50 (-1.50–-1.50) | **no** |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestQualityImageText(t *testing.T) {
	b, err := qualityImage{Photo: "a", Width: 640, Quality: 75, Format: "webp", Profile: "fast", Bytes: 7, Score: 80.5, CPU: []float64{0.25, 0.5}}.MarshalText()
	if want := "a 640 75 webp fast 7 80.5000 0.0000 0.2500 0.5000"; string(b) != want || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}

func TestLowestQuality(t *testing.T) {
	for _, c := range []struct {
		low    int
		wanted float64
		want   int
	}{{1, 55, 55}, {1, 54.5, 55}, {1, 0, 1}, {60, 55, 60}, {1, 200, 100}, {100, 3, 100}} {
		got, err := lowestQuality(c.low, c.wanted, func(q int) (float64, error) { return float64(q), nil })
		if got != c.want || err != nil {
			t.Errorf("from %d on for %v: %d, %v", c.low, c.wanted, got, err)
		}
	}
	gone := errors.New("gone")
	if _, err := lowestQuality(1, 50, func(int) (float64, error) { return 0, gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestReadEncodings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "e.json")
	for text, ok := range map[string]bool{`[{"Effort": 6, "SharpYUV": true}]`: true, `[{"effrt": 6}]`: false, `{}`: false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readEncodings(file)
		if ok != (err == nil) || ok && (len(got) != 1 || got[0] != transform.Encoding{Effort: 6, SharpYUV: true}) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// A crew's programs are each asked by one at a time, and what a program that ends has to say is in the error.
func TestCrew(t *testing.T) {
	c, err := gather(t.Context(), launch{argv: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.share(t.Context(), 50, func(t *talker, i int) error {
		var back int
		if err := t.ask(i, &back); err != nil || back != i {
			return fmt.Errorf("%d came back as %d: %w", i, back, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	c.stop()
	for _, one := range c {
		if one.Alive() {
			t.Error("it lives")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	broken, err := startTalker(ctx, launch{argv: []string{"sh", "-c", "read line; echo no photo >&2; exit 1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer broken.stop()
	if _, err := encode(broken, protocol.EncodeRequest{}); err == nil || !strings.Contains(err.Error(), "sh ended: no photo") {
		t.Errorf("%v", err)
	}
	if _, err := startTalker(ctx, launch{argv: []string{"/nothing"}}); err == nil {
		t.Error("nothing was started")
	}
}

// What the programs answer is looked at.
func TestWrongAnswers(t *testing.T) {
	encodes := func(t *talker) error {
		_, err := encode(t, protocol.EncodeRequest{Encodings: make([]transform.Encoding, 1)})
		return err
	}
	scores := func(t *talker) error {
		_, err := score(t, protocol.ScoreRequest{Source: "x.jpg", Width: 7, Files: []string{"x"}, Butteraugli: true})
		return err
	}
	for _, c := range []struct {
		ask          func(*talker) error
		answer, want string
	}{
		{encodes, `{"Error":"no such photo"}`, "no such photo"},
		{encodes, `{"Images":[]}`, "0 images of 1 encodings"},
		{encodes, `{"Images":`, "sh ended"},
		{encodes, `images`, "reading the answer of sh"},
		{scores, `{"error":"no such file"}`, "scoring x.jpg at w=7: no such file"},
		{scores, `{"scores":[1],"norms":[]}`, "1 scores and 0 norms of 1 files"},
	} {
		program, err := startTalker(t.Context(), launch{argv: []string{"sh", "-c", "read line; echo '" + c.answer + "'"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ask(program); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.answer, err)
		}
		program.stop()
	}
}

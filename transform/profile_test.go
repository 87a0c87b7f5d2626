package transform

import (
	"maps"
	"slices"
	"testing"
)

var fourOutputs = []string{JPEG, PNG, WebP, AVIF}

// What was made before there were profiles is still found.
func TestFingerprintOfNextIsTheOldOne(t *testing.T) {
	for _, profile := range []Profile{"", ProfileNext, "none"} {
		o := Options{Workers: 3, Mozjpeg: true, MaxInputPixels: 268_402_689, Profile: profile}
		if got := o.Fingerprint(); got != "mozjpeg=true pixels=268402689" {
			t.Errorf("%q: %q", profile, got)
		}
	}
}

func TestFingerprintTellsProfilesApart(t *testing.T) {
	seen := map[string]Profile{}
	for _, profile := range Profiles() {
		f := Options{Profile: profile}.Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s have the fingerprint %q", profile, other, f)
		}
		if f != (Options{Profile: profile, Workers: 5}).Fingerprint() {
			t.Errorf("%s: the fingerprint is not stable", profile)
		}
		seen[f] = profile
	}
}

// Whatever is changed in the table gives other bytes, and so another name.
func TestFingerprintFollowsTheTable(t *testing.T) {
	rows := profileTable[ProfileFast]
	seen := map[string]string{digest(rows): "the table"}
	for name, change := range map[string]func(*row){
		"effort":    func(r *row) { r.encoding.Effort++ },
		"subsample": func(r *row) { r.encoding.Subsample = !r.encoding.Subsample },
		"preset":    func(r *row) { r.encoding.Preset += "photo" },
		"anchor":    func(r *row) { r.quality = append(slices.Clone(r.quality), anchor{100, 99}) },
	} {
		changed := maps.Clone(rows)
		r := changed[WebP]
		change(&r)
		changed[WebP] = r
		d := digest(changed)
		if other, ok := seen[d]; ok {
			t.Errorf("%s: the digest is that of %s", name, other)
		}
		seen[d] = name
	}
}

// What Next.js tells sharp, and sharp libvips.
func TestEncodingOfNext(t *testing.T) {
	for _, profile := range []Profile{"", ProfileNext, "none"} {
		for _, c := range []struct {
			mozjpeg bool
			spec    Spec
			want    Encoding
		}{
			{true, Spec{JPEG, 64, 75}, Encoding{Quality: 75, Subsample: true, Progressive: true, Trellis: true, Overshoot: true, OptimizeScans: true, QuantTable: 3}},
			{false, Spec{JPEG, 64, 75}, Encoding{Quality: 75, Subsample: true}},
			{true, Spec{PNG, 64, 80}, Encoding{Quality: 80}},
			{true, Spec{WebP, 64, 75}, Encoding{Quality: 75, Effort: 4}},
			{true, Spec{AVIF, 64, 75}, Encoding{Quality: 47, Effort: 3}},
			{true, Spec{GIF, 64, 75}, Encoding{Quality: 75}},
		} {
			if got := (Options{Mozjpeg: c.mozjpeg, Profile: profile}).Encoding(c.spec); got != c.want {
				t.Errorf("%q %+v: %+v, want %+v", profile, c.spec, got, c.want)
			}
		}
	}
}

func TestEveryProfileHasATable(t *testing.T) {
	for _, profile := range Profiles() {
		rows, ok := profileTable[profile]
		if ok == (profile == ProfileNext) {
			t.Errorf("%s: table: %t", profile, ok)
		}
		if outputs := slices.Sorted(maps.Keys(rows)); ok && !slices.Equal(outputs, []string{AVIF, JPEG, WebP}) {
			t.Errorf("%s: rows for %v", profile, outputs)
		}
		for output, r := range rows {
			if r.encoding.Quality != 0 {
				t.Errorf("%s %s: the table gives a quality that nothing reads", profile, output)
			}
			if output == AVIF && r.encoding.Effort > 4 { // libvips/save.c bounds it for large images alone
				t.Errorf("%s: AVIF's effort %d takes ten times as long as Next.js' 3", profile, r.encoding.Effort)
			}
			for i, a := range r.quality {
				if a.asked < 1 || a.asked > 100 || a.given < 1 || a.given > 100 || i > 0 && (a.asked <= r.quality[i-1].asked || a.given < r.quality[i-1].given) {
					t.Errorf("%s %s: anchor %v", profile, output, a)
				}
			}
		}
	}
	if len(profileTable) != len(Profiles())-1 {
		t.Errorf("%d tables for %v", len(profileTable), Profiles())
	}
}

// Asking for more never gives less, and what the encoder gets is on its scale.
func TestQualityGrows(t *testing.T) {
	for _, profile := range Profiles() {
		for _, output := range fourOutputs {
			last := 1
			for quality := 1; quality <= 100; quality++ {
				got := Options{Profile: profile}.Encoding(Spec{Output: output, Quality: quality}).Quality
				if got < last || got > 100 {
					t.Errorf("%s %s: %d for %d, after %d", profile, output, got, quality, last)
				}
				last = got
			}
		}
	}
}

func TestProfilesLeavePNGAlone(t *testing.T) {
	for _, output := range []string{PNG, GIF, TIFF} {
		spec := Spec{Output: output, Width: 64, Quality: 75}
		for _, profile := range Profiles() {
			if got, want := (Options{Profile: profile}).Encoding(spec), (Options{}).Encoding(spec); got != want {
				t.Errorf("%s %s: %+v, want %+v", profile, output, got, want)
			}
		}
	}
}

func TestInterpolate(t *testing.T) {
	some := []anchor{{30, 10}, {50, 60}, {75, 61}}
	for _, c := range []struct {
		anchors     []anchor
		asked, want int
	}{
		{nil, 1, 1}, {nil, 42, 42}, {nil, 100, 100},
		{some, 1, 1}, {some, 30, 10}, {some, 40, 35}, {some, 50, 60}, {some, 62, 60}, {some, 63, 61}, {some, 75, 61}, {some, 100, 100},
		{some, 15, 5}, {some, 88, 81},
		{[]anchor{{1, 20}, {100, 63}}, 1, 20}, {[]anchor{{1, 20}, {100, 63}}, 2, 20}, {[]anchor{{1, 20}, {100, 63}}, 100, 63},
	} {
		if got := interpolate(c.anchors, c.asked); got != c.want {
			t.Errorf("%v: %d becomes %d, want %d", c.anchors, c.asked, got, c.want)
		}
	}
}

// No profile is thought to take less than Next.js' encodings, and what takes more is known.
func TestEstimateFollowsTheProfile(t *testing.T) {
	p := picture{width: 1000, height: 1000, bands: 4, sample: 1, alpha: true}
	for _, output := range fourOutputs {
		spec := Spec{Output: output, Width: 800, Quality: 75}
		p.profile = ProfileNext
		least := p.cost(PNG, spec)
		for _, profile := range Profiles() {
			p.profile = profile
			e := Options{Profile: profile, Mozjpeg: true}.Encoding(spec)
			more := output == WebP && (e.SharpYUV || e.Effort > 4) || output == AVIF && e.Effort > 6 || output == JPEG && !e.Subsample
			if got := p.cost(PNG, spec); got < least || more && got == least {
				t.Errorf("%s %s: %.0f bytes, Next.js' encoding takes %.0f", profile, output, got, least)
			}
		}
	}
}

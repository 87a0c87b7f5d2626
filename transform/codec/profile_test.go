package codec

import (
	"bytes"
	"testing"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

// A profile travels to the processes, whose restrictions leave its encoders what they need.
func TestPoolEqualsInProcessInEachProfile(t *testing.T) {
	src := jpegOf(t, picture(700, 500))
	outputs := []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF}
	var specs []transform.Spec
	for _, output := range outputs {
		specs = append(specs, transform.Spec{Output: output, Width: 128, Quality: 60})
	}
	for _, profile := range []transform.Profile{transform.ProfileFast, transform.ProfileSmall} {
		s := patient(t)
		s.Options.Profile = profile
		p := pool(t, s)
		in, err := libvips.New(s.Options)
		if err != nil {
			t.Fatal(err)
		}
		together := encodeAll(t, p, src, specs)
		for i, spec := range specs {
			want, err := in.Encode(t.Context(), src, spec)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Encode(t.Context(), src, spec); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %s: %d bytes (%v), in process %d", profile, spec.Output, len(got), err, len(want))
			}
			if r := together[i]; r.err != nil || !bytes.Equal(r.out, want) {
				t.Errorf("%s %s, with others: %d bytes (%v), in process %d", profile, spec.Output, len(r.out), r.err, len(want))
			}
		}
	}
}

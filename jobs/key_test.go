package jobs_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"imgopt/jobs"
)

// TestKeyIsPinned fails when the key of the same variant changes: every cache would then be cold.
func TestKeyIsPinned(t *testing.T) {
	got := jobs.KeyOf("1", jobs.Spec{Href: "/a.png", Width: 640, Quality: 75, Format: "image/webp"}, "8.17.3", "")
	const want = "64a53b06a66ff072e28024b3b53afa28f0eb6120be2d5190a2105658ed1b4f76"
	if got.String() != want {
		t.Errorf("key %v, want %s", got, want)
	}
}

func TestKeyTellsPartsApart(t *testing.T) {
	base := jobs.Spec{Href: "/a.png?v=20", Width: 48, Quality: 75, Format: "image/webp"}
	change := func(f func(*jobs.Spec)) jobs.Spec {
		s := base
		f(&s)
		return s
	}
	keys := map[string]jobs.Key{
		"base":     jobs.KeyOf("1", base),
		"next":     jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Href, s.Width = "/a.png?v=", 2048 })), // collides in Next.js
		"version":  jobs.KeyOf("2", base),
		"absolute": jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Absolute = true })),
		"width":    jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Width = 487 })),
		"shifted":  jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Width, s.Quality = 4, 875 })),
		"swapped":  jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Width, s.Quality = 75, 48 })),
		"format":   jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Format = "" })),
		"moved":    jobs.KeyOf("1", change(func(s *jobs.Spec) { s.Format = "" }), "image/webp"),
		"extra":    jobs.KeyOf("1", base, ""),
		"two":      jobs.KeyOf("1", base, "", ""),
		"ab":       jobs.KeyOf("1", base, "ab"),
		"a b":      jobs.KeyOf("1", base, "a", "b"),
		"nul":      jobs.KeyOf("1", base, "a\x00b"),
	}
	seen := map[jobs.Key]string{}
	for name, k := range keys {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[k] = name
	}
	if keys["base"] != jobs.KeyOf("1", base) {
		t.Error("the same parts have different keys")
	}
}

func TestKeyString(t *testing.T) {
	k := job(1).Key
	back, err := jobs.ParseKey(k.String())
	if err != nil || back != k {
		t.Errorf("ParseKey: %v, %v", back, err)
	}
	s := k.String()
	for _, bad := range []string{"", s[1:], s + "0", "g" + s[1:], strings.ToUpper(strings.Repeat("a", 64)), s[:62] + "/."} {
		if _, err := jobs.ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q) succeeded", bad)
		}
	}
}

// cut splits data into a list of parts, every split being reachable: a length byte before each part.
func cut(data []byte) []string {
	var parts []string
	for len(data) > 0 {
		n := min(int(data[0]), len(data)-1)
		parts = append(parts, string(data[1:1+n]))
		data = data[1+n:]
	}
	return parts
}

// FuzzKeyOf: two lists of parts have the same key exactly when they are the same list, above all when they are the
// same bytes, cut differently.
func FuzzKeyOf(f *testing.F) {
	f.Add([]byte("\x02ab\x01c"), []byte("\x01a\x02bc"), uint16(48), uint16(2048), true)
	f.Add([]byte("\x08/a.pngv2\x010"), []byte("\x09/a.pngv20"), uint16(48), uint16(48), false)
	f.Add([]byte{}, []byte{0}, uint16(1), uint16(1), true)
	prefixed := binary.BigEndian.AppendUint64(nil, 1)
	f.Add(append([]byte{10, 'x'}, append(prefixed, 'y')...), []byte("\x01x\x01y"), uint16(7), uint16(77), false)
	f.Fuzz(func(t *testing.T, a, b []byte, wa, wb uint16, absolute bool) {
		build := func(data []byte, w uint16) ([]string, jobs.Key) {
			parts := cut(data)
			for len(parts) < 3 {
				parts = append(parts, "")
			}
			s := jobs.Spec{Href: parts[1], Width: int(w), Quality: int(w) % 100, Format: parts[2], Absolute: absolute && w%2 == 0}
			return parts, jobs.KeyOf(parts[0], s, parts[3:]...)
		}
		pa, ka := build(a, wa)
		pb, kb := build(b, wb)
		if same := slices.Equal(pa, pb) && wa == wb; same != (ka == kb) {
			t.Errorf("parts %q w=%d and %q w=%d: same %v, keys %v and %v", pa, wa, pb, wb, same, ka, kb)
		}
		raw, err := hex.DecodeString(ka.String())
		if back, e := jobs.ParseKey(ka.String()); err != nil || e != nil || back != ka || !bytes.Equal(raw, ka[:]) {
			t.Errorf("key %v does not survive its text", ka)
		}
	})
}

// FuzzParseKey: what is accepted is what String writes.
func FuzzParseKey(f *testing.F) {
	f.Add(job(1).Key.String())
	f.Add("")
	f.Add(strings.Repeat("A", 64))
	f.Add("../../../etc/passwd")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := jobs.ParseKey(s); err == nil && k.String() != s {
			t.Errorf("%q parses as %v", s, k)
		}
	})
}

func TestKindsAndPriorities(t *testing.T) {
	for k, want := range map[jobs.Kind]string{jobs.Miss: "miss", jobs.Revalidate: "revalidate", jobs.Prewarm: "prewarm"} {
		text, err := k.MarshalText()
		var back jobs.Kind
		if err != nil || string(text) != want || k.String() != want || back.UnmarshalText(text) != nil || back != k {
			t.Errorf("kind %d: %q, %v, back %v", k, text, err, back)
		}
	}
	if _, err := jobs.Kind(9).MarshalText(); err == nil {
		t.Error("an unknown kind has a text")
	}
	if err := new(jobs.Kind).UnmarshalText([]byte("other")); err == nil {
		t.Error("an unknown text is a kind")
	}
	if jobs.Interactive.String() != "interactive" || jobs.Background.String() != "background" {
		t.Error("priorities have other names")
	}
	labels := map[string]bool{}
	for e := jobs.Queued; e <= jobs.Finished; e++ {
		if strings.Contains(e.String(), "(") || labels[e.String()] {
			t.Errorf("event %d has the label %q", e, e)
		}
		labels[e.String()] = true
	}
}

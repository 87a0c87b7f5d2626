package cache

import (
	"strings"
	"testing"
)

func TestKeyNames(t *testing.T) {
	k := Key{0: 0x3f, 1: 0x0a, 31: 0xff}
	s := k.String()
	if want := "3f0a" + strings.Repeat("0", 58) + "ff"; s != want {
		t.Fatalf("String: got %s, want %s", s, want)
	}
	if got, err := ParseKey(s); err != nil || got != k {
		t.Errorf("ParseKey(%s): got %v, %v", s, got, err)
	}
	for _, bad := range []string{"", s[1:], s + "0", strings.ToUpper(s), "g" + s[1:], s[:63] + "/", "../" + s[3:], strings.Repeat("é", 32)} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q): no error", bad)
		}
	}
}

package cache

import (
	"encoding/hex"
	"fmt"
)

// Key names one variant of one source: a hash over everything that changes its bytes. It is opaque here; the
// stores rely only on its being evenly distributed, as the output of SHA-256 is.
type Key [32]byte

// keyHexLen is the length of a key's String.
const keyHexLen = 2 * len(Key{})

// String returns the key as 64 lower-case hexadecimal digits, which is also its name on disk.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey reads what String writes, and nothing else: upper-case digits are refused, so that every key has
// exactly one name.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != keyHexLen {
		return Key{}, fmt.Errorf("cache: key %q: want %d hexadecimal digits, got %d characters", s, keyHexLen, len(s))
	}
	for i := range k {
		hi, lo := hexDigit(s[2*i]), hexDigit(s[2*i+1])
		if hi < 0 || lo < 0 {
			return Key{}, fmt.Errorf("cache: key %q: not lower-case hexadecimal", s)
		}
		k[i] = byte(hi<<4 | lo)
	}
	return k, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	default:
		return -1
	}
}

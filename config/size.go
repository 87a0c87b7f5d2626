package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes. In text it is a plain number (bytes) or a number with a unit: powers of 1000 (kB, MB,
// GB, TB) or of 1024 (KiB, MiB, GiB, TiB, and Ki, Mi, Gi, Ti as in Kubernetes).
type ByteSize int64

const sizeForms = ", such as 256MiB, 1GB or 1048576 (bytes)"

var (
	sizePattern = regexp.MustCompile(`^(\d{1,19}(?:\.\d{1,9})?) ?([A-Za-z]*)$`)
	sizeUnits   = map[string]int64{
		"": 1, "b": 1,
		"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
		"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
	}
)

// ParseByteSize reads a size. A unit of one letter is refused: M is a million bytes to some programs and 1 MiB to others.
func ParseByteSize(s string) (ByteSize, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("parse size %q: must be a size%s", s, sizeForms)
	}
	unit, known := sizeUnits[strings.ToLower(m[2])]
	if !known {
		return 0, fmt.Errorf("parse size %q: unknown unit %q; must be a size%s", s, m[2], sizeForms)
	}
	if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
		if n > math.MaxInt64/unit {
			return 0, fmt.Errorf("parse size %q: too large", s)
		}
		return ByteSize(n * unit), nil
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil || f*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("parse size %q: too large", s)
	}
	if unit == 1 {
		return 0, fmt.Errorf("parse size %q: bytes must be a whole number", s)
	}
	return ByteSize(f * float64(unit)), nil
}

// String returns the shortest exact form that ParseByteSize reads back: 256MiB, 50MB, 1234.
func (b ByteSize) String() string {
	for _, u := range []struct {
		name  string
		bytes ByteSize
	}{
		{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3},
	} {
		if b != 0 && b%u.bytes == 0 {
			return strconv.FormatInt(int64(b/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"
)

func encode(t testing.TB, k Key, e *Entry) []byte {
	t.Helper()
	b, err := Append(nil, k, e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func small() *Entry {
	return &Entry{
		Href: "/a.jpg", Body: []byte("body"), ContentType: "image/avif", ETag: "e", UpstreamETag: "u", SourceETag: `"s"`, SourceLastModified: "l",
		MaxAge: 3600, StoredAt: noon, ExpiresAt: noon.Add(time.Hour + 5), OriginalSize: 7, Mark: 9,
	}
}

// Files and Valkey values outlive the program that wrote them: a change of the layout needs a new version.
func TestLayoutOfVersion2(t *testing.T) {
	const want = "696d676f" + "02000000" + "d70adfae" + "50c93f26" + "9a000000" + "0400000000000000" + // magic, version, checksums, body
		"ab00000000000000000000000000000000000000000000000000000000000000" + // key
		"c087016b00000000" + "00000000" + "d095016b00000000" + "05000000" + // times
		"100e000000000000" + "0700000000000000" + "0900000000000000" + // max-age, original size, mark
		"06000000" + "0a000000" + "01000000" + "01000000" + "03000000" + "01000000" + // lengths
		"2f612e6a7067" + "696d6167652f61766966" + "65" + "75" + "227322" + "6c" + "626f6479"
	if got := hex.EncodeToString(encode(t, Key{0xab}, small())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendKeepsWhatWasThere(t *testing.T) {
	k := Key{1}
	b, err := Append([]byte("before"), k, small())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, append([]byte("before"), encode(t, k, small())...)) {
		t.Error("appending to a used buffer encodes differently")
	}
}

func TestAppendRefusesHugeHeader(t *testing.T) {
	e := small()
	e.Href = strings.Repeat("x", maxHeader)
	if _, err := Append(nil, Key{}, e); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestDecodeSharesTheBuffer(t *testing.T) {
	b := encode(t, Key{1}, small())
	e, err := Decode(Key{1}, b)
	if err != nil {
		t.Fatal(err)
	}
	if &e.Body[0] != &b[len(b)-4] || cap(e.Body) != 4 {
		t.Error("the body was copied, or its end is open")
	}
}

// The header can be read without the body.
func TestDecodeHeaderAlone(t *testing.T) {
	b := encode(t, Key{1}, small())
	e, body, err := decodeHeader(Key{1}, b[:len(b)-4])
	if err != nil || e.Href != "/a.jpg" || e.Body != nil {
		t.Fatalf("got %+v, %v", e, err)
	}
	if body.offset != len(b)-4 || body.length != 4 || body.sum != crc32.Checksum([]byte("body"), castagnoli) {
		t.Errorf("got %+v", body)
	}
}

func mustBeCorrupt(t *testing.T, k Key, b []byte, what string) {
	t.Helper()
	e, err := Decode(k, b)
	var corrupt *CorruptError
	if e != nil || !errors.As(err, &corrupt) {
		t.Errorf("%s: got %v, %v, want a CorruptError", what, e, err)
	}
}

func TestDecodeDamage(t *testing.T) {
	k := Key{0xab}
	good := encode(t, k, small())
	for n := range good {
		mustBeCorrupt(t, k, good[:n], "cut")
		zeroed := append([]byte(nil), good...)
		clear(zeroed[n:]) // what a file whose size reached the disk, but not its content, looks like
		if n < versionAt || n >= versionAt+4 {
			mustBeCorrupt(t, k, zeroed, "zeroes at the end")
		}
	}
	mustBeCorrupt(t, k, append(append([]byte(nil), good...), 0), "longer")
	mustBeCorrupt(t, Key{0xac}, good, "another key")
	for bit := range 8 * len(good) {
		b := append([]byte(nil), good...)
		b[bit/8] ^= 1 << (bit % 8)
		if at := bit / 8; at >= versionAt && at < versionAt+4 {
			if _, err := Decode(k, b); !errors.Is(err, ErrVersion) {
				t.Errorf("bit %d: got %v, want ErrVersion", bit, err)
			}
			continue
		}
		mustBeCorrupt(t, k, b, "flipped bit")
	}
}

// What a wrong writer might produce has right checksums.
func TestDecodeWrongWriter(t *testing.T) {
	k := Key{0xab}
	good := encode(t, k, small())
	le := binary.LittleEndian
	for _, tt := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"offset 0", func(b []byte) { le.PutUint32(b[bodyOffsetAt:], 0) }, "header length"},
		{"offset inside the fixed part", func(b []byte) { le.PutUint32(b[bodyOffsetAt:], fixedLen-1) }, "header length"},
		{"offset past the end", func(b []byte) { le.PutUint32(b[bodyOffsetAt:], uint32(len(b)+1)) }, "header length"},
		{"offset huge", func(b []byte) { le.PutUint32(b[bodyOffsetAt:], 1<<32-1) }, "header length"},
		{"body length 0", func(b []byte) { le.PutUint64(b[bodyLenAt:], 0) }, "empty body"},
		{"body length negative", func(b []byte) { le.PutUint64(b[bodyLenAt:], 1<<64-1) }, "length"},
		{"nanoseconds", func(b []byte) { le.PutUint32(b[storedAtAt+8:], 1e9) }, "time"},
		{"nanoseconds", func(b []byte) { le.PutUint32(b[expiresAtAt+8:], 1e9) }, "time"},
		{"string too long", func(b []byte) { le.PutUint32(b[stringsAt:], 1<<32-1) }, "string length"},
		{"strings too short", func(b []byte) { le.PutUint32(b[stringsAt:], 0) }, "string length"},
	} {
		b := append([]byte(nil), good...)
		tt.damage(b)
		reseal(b)
		_, err := Decode(k, b)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Reason != tt.want {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// reseal sets the header's checksum right, if there can be one.
func reseal(b []byte) {
	if len(b) < fixedLen {
		return
	}
	if end := binary.LittleEndian.Uint32(b[bodyOffsetAt:]); end >= fixedLen && uint64(end) <= uint64(len(b)) {
		binary.LittleEndian.PutUint32(b[headerSumAt:], crc32.Checksum(b[checkedFrom:end], castagnoli))
	}
}

// FuzzDecode looks for input that makes Decode panic, or accept what Append would not write. With sealed, the
// checksum is made right first, so that the code behind it is reached.
func FuzzDecode(f *testing.F) {
	good := encode(f, Key{}, small())
	f.Add(good, false)
	f.Add(good, true)
	f.Add(good[:len(good)-1], true)
	f.Add(good[:fixedLen], true)
	f.Add([]byte("imgo"), false)
	f.Add([]byte{}, true)
	empty := encode(f, Key{}, &Entry{Body: []byte("b")})
	f.Add(empty, true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			reseal(b)
		}
		e, err := Decode(Key{}, b)
		var corrupt *CorruptError
		switch {
		case err == nil:
			if again := encode(t, Key{}, e); !bytes.Equal(again, b) {
				t.Errorf("accepted %x, which would be written as %x", b, again)
			}
		case e != nil:
			t.Errorf("an entry beside %v", err)
		case !errors.As(err, &corrupt) && !errors.Is(err, ErrVersion):
			t.Errorf("untyped error %v", err)
		}
	})
}

func BenchmarkDecode45KB(b *testing.B) {
	e := small()
	e.Body = make([]byte, 45_000)
	data := encode(b, Key{}, e)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(Key{}, data); err != nil {
			b.Fatal(err)
		}
	}
}

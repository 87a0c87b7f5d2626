package fetch

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
)

// golden reads a table that a script in testdata wrote.
func golden[T any](t testing.TB, file string) []T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		t.Fatal("empty table")
	}
	return rows
}

// decodeRow is a row of decode.json.
type decodeRow struct {
	name, encoding string
	body           []byte
	outcome        string
	length         int
	hash           string
}

func (r *decodeRow) UnmarshalJSON(data []byte) error {
	var body string
	if err := json.Unmarshal(data, &[]any{&r.name, &r.encoding, &body, &r.outcome, &r.length, &r.hash}); err != nil {
		return err
	}
	var err error
	r.body, err = base64.StdEncoding.DecodeString(body)
	return err
}

// decodeLimit is the maximumResponseBody of decode.json.
const decodeLimit = 20000

// decodeBytes decodes a whole body.
func decodeBytes(encoding string, body io.Reader) ([]byte, error) {
	return decodeInto(encoding, body, nil)
}

// decodeInto is decodeBytes with a Memory.
func decodeInto(encoding string, body io.Reader, m Memory) ([]byte, error) {
	codings, err := parseCodings(encoding)
	if err != nil {
		return nil, err
	}
	held := &account{memory: m}
	return readAll(decodeAll(context.Background(), &networkReader{body}, codings, decodeLimit, held), -1, decodeLimit, held)
}

// outcome names a result as decode.json does.
func outcome(body []byte, err error) string {
	switch {
	case errors.Is(err, errTooLarge):
		return "413"
	case errors.Is(err, errTooManyCodings):
		return "400"
	case err != nil:
		return "thrown"
	case len(body) == 0:
		return "400"
	}
	return "ok"
}

func TestDecodeTable(t *testing.T) {
	for _, row := range golden[decodeRow](t, "decode.json") {
		for split, body := range map[string]io.Reader{
			"whole":       bytes.NewReader(row.body),
			"bytewise":    iotest.OneByteReader(bytes.NewReader(row.body)),
			"data+EOF":    iotest.DataErrReader(bytes.NewReader(row.body)),
			"half buffer": iotest.HalfReader(bytes.NewReader(row.body)),
		} {
			got, err := decodeBytes(row.encoding, body)
			if o := outcome(got, err); o != row.outcome {
				t.Errorf("%s (%s): %s (%v), Next.js: %s", row.name, split, o, err, row.outcome)
				continue
			}
			sum := sha256.Sum256(got)
			if row.outcome == "ok" && (len(got) != row.length || hex.EncodeToString(sum[:]) != row.hash) {
				t.Errorf("%s (%s): %d bytes, Next.js: %d bytes, or different ones", row.name, split, len(got), row.length)
			}
		}
	}
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("index out of range") }

// A decoder that panics costs the body, not the process.
func TestBrotliPanic(t *testing.T) {
	_, err := readAll(brotliReader{panicReader{}}, -1, decodeLimit, &account{})
	if o := outcome(nil, err); o != "thrown" || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("%s: %v", o, err)
	}
}

// What a decoder reads is limited too: data that decompresses to much and then to nothing would never reach the limit
// of the result.
func TestDecodeIntermediateLimit(t *testing.T) {
	// Deflate blocks without content, as many as fit into some gzip data of a few kilobytes.
	empty := bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 1<<20)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(empty)
	z.Close()
	r := bytes.NewReader(packed.Bytes())
	_, err := decodeBytes("deflate, gzip", r)
	if !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes of nothing: %v", len(empty), err)
	}
	if _, err := decodeBytes("deflate", bytes.NewReader(empty)); !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes of nothing from the network: %v", len(empty), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = readAll(decodeAll(ctx, bytes.NewReader(packed.Bytes()), []coding{gzipCoding}, 1<<30, &account{}), -1, 1<<30, &account{})
	if network := (*networkError)(nil); !errors.As(err, &network) || !errors.Is(err, context.Canceled) {
		t.Errorf("decoding goes on although nobody waits: %v", err)
	}
}

// More data than any buffer or window on the way.
func TestDecodeLarge(t *testing.T) {
	const size = 3 << 20
	large := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(large[:size/2])
	for name, pack := range map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 2) },
	} {
		var packed bytes.Buffer
		w := pack(&packed)
		if _, err := w.Write(large); err != nil {
			t.Fatal(err)
		}
		w.Close()
		codings, err := parseCodings(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(decodeAll(t.Context(), &packed, codings, size, &account{}), -1, size, &account{})
		if err != nil || !bytes.Equal(got, large) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

package codec

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"imgopt/transform"
)

func TestMessagesRoundTrip(t *testing.T) {
	req := request{seq: 7, source: 1234, spec: transform.Spec{Output: transform.AVIF, Width: 3840, Quality: 100}}
	if got, err := parseRequest(req.append(nil), 2000); err != nil || got != req {
		t.Errorf("%+v, %v", got, err)
	}
	rep := reply{seq: 7, status: replyCodecError, result: 99, cpu: 3 * time.Millisecond, stages: transform.Stages{Pixels: 1, Encode: 2}, message: "why"}
	if got, err := parseReply(rep.append(nil), 100); err != nil || got != rep {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseRequest(req.append(nil), 1233); err == nil {
		t.Error("a source beyond its area was accepted")
	}
	if _, err := parseReply(rep.append(nil), 98); err == nil {
		t.Error("a result beyond its area was accepted")
	}
}

func FuzzProtocol(f *testing.F) {
	f.Add(request{seq: 1, source: 5, spec: transform.Spec{Output: transform.WebP, Width: 640, Quality: 75}}.append(nil))
	f.Add(reply{seq: 1, status: replyOK, result: 5, message: "x"}.append(nil))
	f.Add(many{seq: 1, source: 5, specs: someSpecs(5)}.append(nil))
	f.Add(appendNext(nil, 7))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		const area = 1 << 20
		if m, err := parseMany(b, area); err == nil {
			if m.source < 0 || m.source > area || len(m.specs) < 1 || len(m.specs) > maxOutputs {
				t.Fatalf("%+v", m)
			}
			if again := m.append(nil); !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		if seq, err := parseNext(b); err == nil && !bytes.Equal(appendNext(nil, seq), b) {
			t.Fatalf("%x became %d", b, seq)
		}
		if r, err := parseRequest(b, area); err == nil && (r.source < 0 || r.source > area) {
			t.Fatalf("request beyond its area: %+v", r)
		}
		if r, err := parseReply(b, area); err == nil {
			if r.result < 0 || r.result > area {
				t.Fatalf("reply beyond its area: %+v", r)
			}
			if again := r.append(nil); !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
	})
}

// interlacedPNG writes a grey Adam7 PNG of side × side zeros.
func interlacedPNG(t testing.TB, side int) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, body []byte) {
		var b []byte
		b = append(append(b, name...), body...)
		_ = binary.Write(&out, binary.BigEndian, uint32(len(body)))
		out.Write(b)
		_ = binary.Write(&out, binary.BigEndian, crc32.ChecksumIEEE(b))
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(side))
	header = binary.BigEndian.AppendUint32(header, uint32(side))
	chunk("IHDR", append(header, 8, 2, 0, 0, 1)) // 8 bits, RGB, Adam7
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	for _, pass := range [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		w, h := (side-pass[0]+pass[2]-1)/pass[2], (side-pass[1]+pass[3]-1)/pass[3]
		row := make([]byte, 1+3*w)
		for range h {
			if _, err := z.Write(row); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	chunk("IDAT", packed.Bytes())
	chunk("IEND", nil)
	return out.Bytes()
}

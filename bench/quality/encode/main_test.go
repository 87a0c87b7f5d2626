package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"imgopt/bench/quality/protocol"
	"imgopt/transform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServe(t *testing.T) {
	dir := t.TempDir()
	const photo = "../../../testdata/images/photo-face.jpg"
	var in, out bytes.Buffer
	for _, q := range []protocol.EncodeRequest{
		{Source: photo, Width: 64, Format: transform.WebP, Encodings: []transform.Encoding{{Quality: 75, Effort: 4}, {Quality: 30, Effort: 0}}, Rounds: 3, Prefix: filepath.Join(dir, "a")},
		{Source: "no such photo", Width: 64, Format: transform.WebP, Encodings: []transform.Encoding{{Quality: 75}}, Rounds: 1, Prefix: filepath.Join(dir, "b")},
		{Source: photo, Width: 64, Format: transform.WebP, Encodings: []transform.Encoding{{Quality: 75, Preset: "none such"}}, Rounds: 1, Prefix: filepath.Join(dir, "c")},
	} {
		if err := json.NewEncoder(&in).Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(&out)
	var a protocol.EncodeAnswer
	if err := answers.Decode(&a); err != nil || len(a.Images) != 2 || a.Error != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, i := range a.Images {
		b, err := os.ReadFile(i.File)
		if err != nil || int64(len(b)) != i.Bytes || !bytes.HasPrefix(b, []byte("RIFF")) || len(i.CPU) != 3 {
			t.Errorf("%+v: %d bytes, %v", i, len(b), err)
		}
		for _, cpu := range i.CPU {
			if cpu < 0 {
				t.Errorf("%v seconds", cpu)
			}
		}
	}
	if a.Images[0].Bytes <= a.Images[1].Bytes {
		t.Errorf("a lower quality has more bytes: %+v", a.Images)
	}
	for range 2 {
		var a protocol.EncodeAnswer
		if err := answers.Decode(&a); err != nil || a.Images != nil || !strings.Contains(a.Error, "at w=64 as image/webp") {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if err := serve(strings.NewReader("{"), &out); err == nil {
		t.Error("half a request was taken")
	}
}

package codec

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"imgopt/transform"
)

// The test binary is its own codec process.
func TestMain(m *testing.M) {
	if os.Getenv(settingsEnv) != "" {
		serve := Serve
		if len(os.Args) > 1 && os.Args[1] == evilArgument {
			serve = serveEvil
		}
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func settings(t testing.TB) Settings {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		Options:   transform.Options{Workers: 2, Timeout: 7 * time.Second, MaxInputPixels: 268_402_689, Mozjpeg: true},
		Command:   []string{self},
		MaxSource: 50_000_000,
		MaxResult: 64 << 20,
		Nice:      5,
	}
}

func pool(t testing.TB, s Settings) *Pool {
	t.Helper()
	p, err := NewPool(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func picture(width, height int) image.Image {
	r := rand.New(rand.NewPCG(3, 4))
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetNRGBA(x, y, color.NRGBA{uint8(x), uint8(y), uint8(r.UintN(64)), 255})
		}
	}
	return m
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

package libvips_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

var next = transform.Options{Workers: 2, Timeout: 7 * time.Second, MaxInputPixels: 268_402_689, Mozjpeg: true}

func engine(t testing.TB, opts transform.Options) *libvips.Engine {
	t.Helper()
	e, err := libvips.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// noisy returns a picture that costs an encoder something; the same for the same size.
func noisy(width, height int) image.Image {
	r := rand.New(rand.NewPCG(1, 2))
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			n := uint8(r.UintN(32))
			m.SetNRGBA(x, y, color.NRGBA{uint8(x*200/width) + n, uint8(y*200/height) + n, uint8((x^y)&0x7f) + n, 255})
		}
	}
	return m
}

func asJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEncodeGivesTheTypeAndSizeAskedFor(t *testing.T) {
	e := engine(t, next)
	src := asJPEG(t, noisy(300, 200))
	for _, output := range []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF} {
		for _, width := range []int{64, 640} {
			got, err := e.Encode(t.Context(), src, transform.Spec{Output: output, Width: width, Quality: 75})
			if err != nil {
				t.Fatalf("%s %d: %v", output, width, err)
			}
			if media, _ := transform.Detect(got); media != output {
				t.Errorf("%s %d: the result is %q", output, width, media)
			}
			back, err := e.Encode(t.Context(), got, transform.Spec{Output: transform.PNG, Width: 3840, Quality: 100})
			if err != nil {
				t.Fatalf("%s %d: reading it back: %v", output, width, err)
			}
			m, err := png.DecodeConfig(bytes.NewReader(back))
			if err != nil {
				t.Fatal(err)
			}
			wantW, wantH := width, (width*200+150)/300
			if width > 300 { // never enlarged
				wantW, wantH = 300, 200
			}
			if m.Width != wantW || m.Height != wantH {
				t.Errorf("%s %d: %d×%d, want %d×%d", output, width, m.Width, m.Height, wantW, wantH)
			}
		}
	}
}

// The bytes do not depend on what ran before or beside.
func TestEncodeIsDeterministicUnderConcurrency(t *testing.T) {
	e := engine(t, next)
	src := asJPEG(t, noisy(500, 400))
	specs := []transform.Spec{
		{Output: transform.WebP, Width: 256, Quality: 75}, {Output: transform.JPEG, Width: 128, Quality: 75},
		{Output: transform.PNG, Width: 96, Quality: 75}, {Output: transform.AVIF, Width: 64, Quality: 75},
	}
	want := make([][]byte, len(specs))
	for i, s := range specs {
		b, err := e.Encode(t.Context(), src, s)
		if err != nil {
			t.Fatal(err)
		}
		want[i] = b
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, s := range specs {
				got, err := e.Encode(t.Context(), src, s)
				if err != nil || !bytes.Equal(got, want[i]) {
					t.Errorf("%+v: differs (%v)", s, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestBadSourcesAreCodecErrors(t *testing.T) {
	e := engine(t, next)
	whole := asJPEG(t, noisy(400, 300))
	for name, src := range map[string][]byte{
		"empty":          {},
		"no image":       []byte("hello"),
		"truncated":      whole[:len(whole)/2],
		"header only":    whole[:20],
		"netpbm":         []byte("P6\n1 1\n255\nabc"),
		"libvips' own":   append([]byte{0xb6, 0xa6, 0xf2, 0x08}, make([]byte, 200)...),
		"svg from a pdf": []byte("%PDF-1.4\n%%EOF"),
	} {
		_, err := e.Encode(t.Context(), src, transform.Spec{Output: transform.WebP, Width: 64, Quality: 75})
		var codec *transform.CodecError
		if !errors.As(err, &codec) || codec.Message == "" || codec.TimedOut {
			t.Errorf("%s: %v, want a codec error with a message", name, err)
		}
	}
}

func TestPixelLimit(t *testing.T) {
	opts := next
	opts.MaxInputPixels = 100 * 100
	e := engine(t, opts)
	spec := transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}
	if _, err := e.Encode(t.Context(), asPNG(t, noisy(100, 100)), spec); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	var codec *transform.CodecError
	if _, err := e.Encode(t.Context(), asPNG(t, noisy(100, 101)), spec); !errors.As(err, &codec) {
		t.Errorf("over the limit: %v, want a codec error", err)
	}
}

func TestTimeLimitIsACodecError(t *testing.T) {
	opts := next
	opts.Timeout = time.Millisecond
	e := engine(t, opts)
	_, err := e.Encode(t.Context(), asPNG(t, noisy(2500, 2500)), transform.Spec{Output: transform.WebP, Width: 1920, Quality: 75})
	var codec *transform.CodecError
	if !errors.As(err, &codec) || !codec.TimedOut {
		t.Fatalf("%v, want a codec error that says the time limit was reached", err)
	}
}

func TestCancelStopsTheWorkAndBlamesNotTheSource(t *testing.T) {
	e := engine(t, next)
	src := asPNG(t, noisy(3000, 3000))
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	go func() {
		close(started)
		time.Sleep(5 * time.Millisecond) // inside the evaluation of nine megapixels
		cancel()
	}()
	<-started
	_, err := e.Encode(ctx, src, transform.Spec{Output: transform.WebP, Width: 3840, Quality: 75})
	var codec *transform.CodecError
	if !errors.Is(err, context.Canceled) || errors.As(err, &codec) {
		t.Fatalf("%v, want context.Canceled and no codec error", err)
	}
}

func TestWaitingForACodecEndsWithTheContext(t *testing.T) {
	opts := next
	opts.Workers = 1
	e := engine(t, opts)
	src := asPNG(t, noisy(2000, 2000))
	var busy atomic.Bool
	busy.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		for busy.Load() {
			_, _ = e.Encode(context.Background(), src, transform.Spec{Output: transform.WebP, Width: 1920, Quality: 75})
		}
	})
	defer wg.Wait()
	defer busy.Store(false)
	time.Sleep(20 * time.Millisecond) // let the other one take the only slot
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := e.Encode(ctx, src, transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want the deadline", err)
	}
}

func TestNewRefusesNoWorkers(t *testing.T) {
	if _, err := libvips.New(transform.Options{}); err == nil {
		t.Fatal("an engine without workers was accepted")
	}
}

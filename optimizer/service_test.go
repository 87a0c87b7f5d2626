package optimizer_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/optimizer"
	"imgopt/transform"
	"imgopt/transform/libvips"
	"imgopt/validate"
)

// origin is a real server whose answer a test can change.
type origin struct {
	*httptest.Server
	mu      sync.Mutex
	answer  http.HandlerFunc
	fetches atomic.Int64
}

func newOrigin(t *testing.T, answer http.HandlerFunc) *origin {
	o := &origin{answer: answer}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.fetches.Add(1)
		o.mu.Lock()
		a := o.answer
		o.mu.Unlock()
		a(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *origin) set(answer http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

// counting counts what an Observer is told.
type counting struct {
	encoded, passed, fellBack          atomic.Int64
	changed, unchanged, failed, notMod atomic.Int64
}

func (c *counting) Fetched(_ jobs.Kind, _ time.Duration, src *fetch.Source, _ error) {
	if src != nil && src.NotModified {
		c.notMod.Add(1)
	}
}

func (c *counting) Encoded(_ transform.Plan, _ time.Duration, _, _ int, err error) {
	if err != nil {
		c.fellBack.Add(1)
	} else {
		c.encoded.Add(1)
	}
}
func (c *counting) PassedThrough(transform.Plan) { c.passed.Add(1) }
func (c *counting) Revalidated(outcome string) {
	switch outcome {
	case optimizer.Changed:
		c.changed.Add(1)
	case optimizer.Unchanged:
		c.unchanged.Add(1)
	default:
		c.failed.Add(1)
	}
}

type service struct {
	*optimizer.Optimizer
	store *cache.Tiered
	seen  *counting
	// skew is added to the clock, in nanoseconds.
	skew atomic.Int64
}

func (s *service) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }

func (s *service) advance(d time.Duration) { s.skew.Add(int64(d)) }

const minimumTTL = time.Hour

func newService(t *testing.T, o *origin, change ...func(*optimizer.Options)) *service {
	t.Helper()
	s := &service{seen: &counting{}}
	store, err := cache.NewMemory(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := fetch.New(fetch.Options{Origins: []string{o.URL}, Timeout: 5 * time.Second, MaxBody: 10 << 20, MaxRedirects: 3})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := libvips.New(transform.Options{Workers: 2, Timeout: 5 * time.Second, MaxInputPixels: 1e8, Mozjpeg: true})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := jobs.NewMemory(jobs.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	opts := jobs.Defaults(2)
	opts.Backoff = time.Millisecond
	s.store = cache.NewTiered(cache.Tier{Name: "memory", Store: store})
	options := optimizer.Options{
		Store: s.store, Memory: store, Fetcher: fetcher, Engine: engine, Queue: queue, Jobs: opts,
		MinimumTTL: minimumTTL, Observe: s.seen,
		Now: func() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) },
	}
	for _, c := range change {
		c(&options)
	}
	s.Optimizer, err = optimizer.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		fetcher.Close()
	})
	return s
}

func photo(t *testing.T, shade uint8) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 200, 100))
	for y := range 100 {
		for x := range 200 {
			m.Set(x, y, color.RGBA{uint8(x), uint8(y), shade, 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func serving(body []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write(body)
	}
}

var params = validate.Params{URL: "/a.jpg", Href: "/a.jpg", Width: 64, Quality: 75, Format: transform.WebP}

func get(t *testing.T, s *service, p validate.Params) optimizer.Result {
	t.Helper()
	r, err := s.Get(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// eventually waits for background work.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

package optimizer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/optimizer"
	"imgopt/transform"
	"imgopt/validate"
)

type warmed struct {
	optimizer.Result
	err error
}

// warm checks that every variant is told once.
func warm(t *testing.T, ctx context.Context, s *service, list []validate.Params) []warmed {
	t.Helper()
	var mu sync.Mutex
	got, calls := make([]warmed, len(list)), make([]int, len(list))
	s.Warm(ctx, list, func(i int, r optimizer.Result, err error) {
		mu.Lock()
		defer mu.Unlock()
		calls[i]++
		got[i] = warmed{r, err}
	})
	for i, n := range calls {
		if n != 1 {
			t.Errorf("%+v was told %d times", list[i], n)
		}
	}
	return got
}

func variantsOf(href string) []validate.Params {
	var list []validate.Params
	for _, width := range []int{64, 16, 128, 640} {
		for _, format := range []string{transform.WebP, "", transform.AVIF} {
			if format != transform.AVIF || width == 16 {
				list = append(list, validate.Params{URL: href, Href: href, Width: width, Quality: 75, Format: format})
			}
		}
	}
	return list
}

// fixed gives two services the same time.
func fixed(at time.Time, s **service) func(*optimizer.Options) {
	return func(o *optimizer.Options) {
		o.Now = func() time.Time {
			if *s == nil {
				return at
			}
			return at.Add(time.Duration((*s).skew.Load()))
		}
	}
}

// sameEntry compares everything that an answer is made from, and what a revalidation needs.
func sameEntry(a, b *cache.Entry) error {
	switch {
	case a == nil || b == nil:
		if a != b {
			return errors.New("only one is there")
		}
	case !bytes.Equal(a.Body, b.Body):
		return fmt.Errorf("%d and %d bytes, which differ", len(a.Body), len(b.Body))
	case a.ContentType != b.ContentType, a.ETag != b.ETag, a.UpstreamETag != b.UpstreamETag, a.SourceETag != b.SourceETag,
		a.SourceLastModified != b.SourceLastModified, a.MaxAge != b.MaxAge, a.Href != b.Href, a.OriginalSize != b.OriginalSize,
		!a.StoredAt.Equal(b.StoredAt), !a.ExpiresAt.Equal(b.ExpiresAt):
		return fmt.Errorf("%+v and %+v", a, b)
	}
	return nil
}

// What Warm stores is what as many requests would have stored, whatever the source is.
func TestWarmStoresWhatRequestsStore(t *testing.T) {
	frame := image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{color.Black, color.White})
	var moving bytes.Buffer
	if err := gif.EncodeAll(&moving, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{5, 5}}); err != nil {
		t.Fatal(err)
	}
	whole := photo(t, 9)
	alpha, err := os.ReadFile(filepath.Join("../testdata/images", "png-rgba-8.png"))
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"photo":       serving(whole, "Cache-Control", "max-age=7200", "ETag", `"v1"`, "Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT"),
		"bare":        serving(whole),
		"alpha":       serving(alpha, "Cache-Control", "s-maxage=99999"),
		"animated":    serving(moving.Bytes(), "ETag", "W/\"g\"", "Cache-Control", "max-age=999999"),
		"broken":      serving(whole[:len(whole)/2], "Cache-Control", "max-age=999999"),
		"svg":         serving([]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)),
		"no image":    serving([]byte("<html>")),
		"not found":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"unavailable": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, answer)
			now := time.Now()
			var asked, filled *service
			asked, filled = newService(t, o, fixed(now, &asked)), newService(t, o, fixed(now, &filled))
			list := variantsOf("/a.png")
			before := o.fetches.Load()
			got := warm(t, t.Context(), filled, list)
			if n := o.fetches.Load() - before; n != 1 {
				t.Errorf("%d fetches for %d variants", n, len(list))
			}
			for i, p := range list {
				want, err := asked.Get(t.Context(), p)
				if (err == nil) != (got[i].err == nil) || err != nil && failure.From(err).Text != failure.From(got[i].err).Text && failure.From(err).Reason != "retries_exhausted" {
					t.Errorf("%+v: %v, a request gets %v", p, got[i].err, err)
					continue
				}
				if err := sameEntry(want.Entry, got[i].Entry); err != nil {
					t.Errorf("%+v: a request stores something else: %v", p, err)
				}
				stored, _ := filled.store.Get(t.Context(), filled.Key(p))
				if err := sameEntry(want.Entry, stored); err != nil {
					t.Errorf("%+v: %v", p, err)
				}
			}
			// Everything that is there is a hit from now on.
			before = o.fetches.Load()
			for i, r := range warm(t, t.Context(), filled, list) {
				if got[i].err == nil && (r.err != nil || r.State != cache.Hit) {
					t.Errorf("%+v: %s %v, want a hit", list[i], r.State, r.err)
				}
			}
			if n := o.fetches.Load() - before; got[0].err == nil && n != 0 {
				t.Errorf("%d fetches of what is there", n)
			}
		})
	}
}

// What is stale is renewed with one question, and what has changed is made anew.
func TestWarmRenewsWhatIsStale(t *testing.T) {
	body := photo(t, 3)
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(body)
	})
	s := newService(t, o)
	list := variantsOf("/a.jpg")
	first := warm(t, t.Context(), s, list[:len(list)-1])
	s.advance(minimumTTL + time.Second)

	fetches, encoded := o.fetches.Load(), s.seen.encoded.Load()
	for i, r := range warm(t, t.Context(), s, list[:len(list)-1]) {
		if r.err != nil || !bytes.Equal(r.Entry.Body, first[i].Entry.Body) || r.Entry.State(s.now()) != cache.Hit {
			t.Errorf("%+v: %v", list[i], r)
		}
	}
	if o.fetches.Load()-fetches != 1 || s.seen.encoded.Load() != encoded || s.seen.notMod.Load() != 1 || s.seen.unchanged.Load() != int64(len(list)-1) {
		t.Errorf("%d fetches, %d encodings, %d not modified, %d unchanged", o.fetches.Load()-fetches, s.seen.encoded.Load()-encoded, s.seen.notMod.Load(), s.seen.unchanged.Load())
	}

	// One is missing: the source is needed, but only for that one.
	s.advance(minimumTTL + time.Second)
	warm(t, t.Context(), s, list)
	if n := s.seen.encoded.Load() - encoded; n != 1 || s.seen.notMod.Load() != 1 {
		t.Errorf("%d encodings for the one that was missing", n)
	}

	o.set(serving(photo(t, 200), "ETag", `"v2"`))
	s.advance(minimumTTL + time.Second)
	for i, r := range warm(t, t.Context(), s, list[:len(list)-1]) {
		if r.err != nil || bytes.Equal(r.Entry.Body, first[i].Entry.Body) {
			t.Errorf("%+v was not made anew: %v", list[i], r.err)
		}
	}
}

// A failure leaves what is there as it is: the next request revalidates it.
func TestWarmFailureKeepsWhatIsThere(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4)))
	s := newService(t, o)
	first := get(t, s, params)
	o.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.advance(minimumTTL + time.Second)
	if got := warm(t, t.Context(), s, []validate.Params{params}); got[0].err == nil || failure.From(got[0].err).Status != http.StatusNotFound {
		t.Errorf("%v, want 404", got[0].err)
	}
	if e, err := s.store.Get(t.Context(), s.Key(params)); err != nil || sameEntry(e, first.Entry) != nil {
		t.Errorf("%+v, %v: the entry has changed", e, err)
	}
}

func TestWarmTakesSeveralSources(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4)))
	s := newService(t, o)
	list := append(variantsOf("/a.jpg"), variantsOf("/b.jpg")...)
	for i, r := range warm(t, t.Context(), s, list) {
		if r.err != nil || r.Entry.Href != list[i].Href {
			t.Errorf("%+v: %+v", list[i], r)
		}
	}
	if n := o.fetches.Load(); n != 2 {
		t.Errorf("%d fetches of two sources", n)
	}
}

func TestWarmEndsWithItsContext(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4)))
	s := newService(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range warm(t, ctx, s, variantsOf("/a.jpg")) {
		if r.err == nil {
			t.Errorf("%+v from a context that has ended", r)
		}
	}
}

// Requests and warming at the same time get and leave the same bytes.
func TestWarmBesideRequests(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4), "ETag", `"v1"`))
	s, other := newService(t, o), newService(t, o)
	list := variantsOf("/a.jpg")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { warm(t, t.Context(), s, list) })
	}
	for _, p := range list {
		all.Go(func() {
			if _, err := s.Get(t.Context(), p); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, p := range list {
		if a, b := get(t, s, p), get(t, other, p); a.State != cache.Hit || a.Entry.ETag != b.Entry.ETag {
			t.Errorf("%+v: %s", p, a.State)
		}
	}
}

// single hides that an engine can make several results.
type single struct{ transform.Engine }

func TestWarmWithAnEngineThatMakesOneAtATime(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4)))
	s, plain := newService(t, o), newService(t, o, func(o *optimizer.Options) { o.Engine = single{o.Engine} })
	list := variantsOf("/a.jpg")
	want := warm(t, t.Context(), s, list)
	for i, r := range warm(t, t.Context(), plain, list) {
		if r.err != nil || r.Entry.ETag != want[i].Entry.ETag {
			t.Errorf("%+v: %v", list[i], r.err)
		}
	}
}

// failing fails for one width.
type failing struct {
	transform.Engine
	width int
	err   error
}

func (e failing) Encode(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	if spec.Width == e.width {
		return nil, e.err
	}
	return e.Engine.Encode(ctx, src, spec)
}

// What failed for a moment is no entry, and no image is called warm for it; the others are.
func TestWarmDoesNotKeepTheFailureOfAMoment(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4)))
	for _, want := range []*transform.CodecError{{Message: "slow", TimedOut: true}, {Message: "dead", Crashed: true}} {
		s := newService(t, o, func(o *optimizer.Options) { o.Engine = failing{o.Engine, 64, want} })
		list := variantsOf("/a.jpg")
		for i, r := range warm(t, t.Context(), s, list) {
			_, err := s.store.Get(t.Context(), s.Key(list[i]))
			switch f := failure.From(r.err); {
			case list[i].Width != 64 && (r.err != nil || err != nil):
				t.Errorf("%+v: %v, %v", list[i], r.err, err)
			case list[i].Width == 64 && (f == nil || f.Retryable != want.TimedOut || err == nil):
				t.Errorf("%+v: %v, %v, want a failure and no entry", list[i], r.err, err)
			}
		}
	}
}

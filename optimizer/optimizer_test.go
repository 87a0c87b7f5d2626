package optimizer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/optimizer"
	"imgopt/transform"
	"imgopt/validate"
)

func TestMissThenHit(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 1), "Cache-Control", "max-age=7200", "ETag", `"v1"`))
	s := newService(t, o)
	first := get(t, s, params)
	e := first.Entry
	sum := sha256.Sum256(e.Body)
	if first.State != cache.Miss || e.ContentType != transform.WebP || e.Href != "/a.jpg" || e.MaxAge != 7200 ||
		e.ETag != base64.RawURLEncoding.EncodeToString(sum[:]) || e.UpstreamETag != base64.RawURLEncoding.EncodeToString([]byte(`"v1"`)) {
		t.Errorf("miss: %s %+v", first.State, e)
	}
	if r, ok := s.Lookup(params); !ok || r.Entry != e || r.State != cache.Hit {
		t.Errorf("look-up: %v %+v", ok, r)
	}
	if r := get(t, s, params); r.Entry != e || r.State != cache.Hit {
		t.Errorf("hit: %+v", r)
	}
	other := params
	other.Width = 32
	if r := get(t, s, other); r.State != cache.Miss || bytes.Equal(r.Entry.Body, e.Body) {
		t.Error("another width is not another variant")
	}
	if n := o.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

func TestAThousandRequestsAreOneJob(t *testing.T) {
	body := photo(t, 2)
	release := make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write(body)
	})
	s := newService(t, o)
	var asked, done sync.WaitGroup
	var results [1000]optimizer.Result
	for i := range results {
		asked.Add(1)
		done.Go(func() {
			asked.Done()
			r, err := s.Get(t.Context(), params)
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = r
		})
	}
	asked.Wait()
	close(release)
	done.Wait()
	for _, r := range results {
		if r.Entry == nil || !bytes.Equal(r.Entry.Body, results[0].Entry.Body) {
			t.Fatal("answers differ")
		}
	}
	if o.fetches.Load() != 1 || s.seen.encoded.Load() != 1 {
		t.Errorf("%d fetches, %d encodings, want 1 and 1", o.fetches.Load(), s.seen.encoded.Load())
	}
}

func TestStaleIsServedAndRevalidatedOnce(t *testing.T) {
	body := photo(t, 3)
	conditional := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		if r.Header.Get("If-None-Match") == `"v1"` && r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(body)
	}
	o := newOrigin(t, conditional)
	s := newService(t, o)
	first := get(t, s, params)

	s.advance(minimumTTL + time.Second)
	if _, ok := s.Lookup(params); ok {
		t.Error("the fast look-up gave a stale entry")
	}
	for range 20 {
		if r := get(t, s, params); r.State == cache.Miss || !bytes.Equal(r.Entry.Body, first.Entry.Body) {
			t.Fatalf("%s", r.State)
		}
	}
	eventually(t, "a hit after the revalidation", func() bool { return get(t, s, params).State == cache.Hit })
	if o.fetches.Load() != 2 || s.seen.notMod.Load() != 1 || s.seen.encoded.Load() != 1 || s.seen.unchanged.Load() != 1 {
		t.Errorf("304: %d fetches, %d not modified, %d encodings, %d unchanged; want 2, 1, 1, 1", o.fetches.Load(), s.seen.notMod.Load(), s.seen.encoded.Load(), s.seen.unchanged.Load())
	}

	// A server that ignores conditions but sends the same entity tag costs a transfer and no encoding.
	o.set(serving(body, "ETag", `"v1"`))
	s.advance(minimumTTL + time.Second)
	if r := get(t, s, params); r.State != cache.Stale {
		t.Fatalf("%s, want stale", r.State)
	}
	eventually(t, "a hit after the second revalidation", func() bool { return get(t, s, params).State == cache.Hit })
	if s.seen.encoded.Load() != 1 || s.seen.unchanged.Load() != 2 {
		t.Errorf("same tag: %d encodings, %d unchanged; want 1 and 2", s.seen.encoded.Load(), s.seen.unchanged.Load())
	}

	o.set(serving(photo(t, 200), "ETag", `"v2"`))
	s.advance(minimumTTL + time.Second)
	get(t, s, params)
	eventually(t, "new bytes", func() bool { return !bytes.Equal(get(t, s, params).Entry.Body, first.Entry.Body) })
	if s.seen.encoded.Load() != 2 || s.seen.changed.Load() != 1 {
		t.Errorf("changed: %d encodings, %d changed; want 2 and 1", s.seen.encoded.Load(), s.seen.changed.Load())
	}
}

func TestFailedRevalidationKeepsTheOldBytes(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 4)))
	s := newService(t, o)
	first := get(t, s, params)
	o.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.advance(minimumTTL + time.Second)
	if r := get(t, s, params); r.State != cache.Stale {
		t.Fatalf("%s, want stale", r.State)
	}
	eventually(t, "a hit", func() bool { return get(t, s, params).State == cache.Hit })
	r := get(t, s, params)
	if !bytes.Equal(r.Entry.Body, first.Entry.Body) || r.Entry.MaxAge != 30 {
		t.Errorf("max-age %d, want 30 and the old bytes", r.Entry.MaxAge)
	}
	if s.seen.failed.Load() != 1 {
		t.Errorf("%d failed revalidations, want 1", s.seen.failed.Load())
	}
}

func TestBrokenAndAnimatedSourcesAreServedAsTheyAre(t *testing.T) {
	whole := photo(t, 5)
	broken := whole[:len(whole)/2]
	o := newOrigin(t, serving(broken, "Cache-Control", "max-age=999999"))
	s := newService(t, o)
	r := get(t, s, params)
	if !bytes.Equal(r.Entry.Body, broken) || r.Entry.ContentType != transform.JPEG || r.Entry.MaxAge != int64(minimumTTL/time.Second) || r.Entry.ETag != r.Entry.UpstreamETag {
		t.Errorf("broken: %+v", r.Entry)
	}
	if s.seen.fellBack.Load() != 1 {
		t.Errorf("%d fallbacks", s.seen.fellBack.Load())
	}
	// Once the source is whole again, the revalidation encodes it.
	o.set(serving(whole))
	s.advance(minimumTTL + time.Second)
	get(t, s, params)
	eventually(t, "an encoded answer", func() bool { return get(t, s, params).Entry.ContentType == transform.WebP })

	frame := image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{color.Black, color.White})
	var moving bytes.Buffer
	if err := gif.EncodeAll(&moving, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{5, 5}}); err != nil {
		t.Fatal(err)
	}
	o.set(serving(moving.Bytes(), "ETag", "W/\"g\"", "Cache-Control", "max-age=999999"))
	p := params
	p.Href = "/moving.gif"
	r = get(t, s, p)
	if !bytes.Equal(r.Entry.Body, moving.Bytes()) || r.Entry.ContentType != transform.GIF || r.Entry.MaxAge != 999999 ||
		r.Entry.ETag != base64.RawURLEncoding.EncodeToString([]byte("W/\"g\"")) {
		t.Errorf("animated: %+v", r.Entry)
	}
}

func TestErrorsAreNotCached(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	s := newService(t, o)
	for want := int64(1); want <= 2; want++ {
		_, err := s.Get(t.Context(), params)
		if f := failure.From(err); f == nil || f.Status != http.StatusGone || f.Text != failure.TextInternalInvalid {
			t.Fatalf("%v, want 410", err)
		}
		if got := o.fetches.Load(); got != want {
			t.Errorf("%d fetches, want %d", got, want)
		}
	}
	o.set(serving([]byte("<html>")))
	_, err := s.Get(t.Context(), params)
	if f := failure.From(err); f == nil || f.Status != http.StatusBadRequest || !strings.Contains(f.Text, "isn't a valid image") {
		t.Errorf("html: %v", err)
	}
}

func TestRetriesEndAsBadGateway(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	s := newService(t, o)
	_, err := s.Get(t.Context(), params)
	if f := failure.From(err); f == nil || f.Status != http.StatusBadGateway {
		t.Fatalf("%v, want 502", err)
	}
	if got := o.fetches.Load(); got != 3 {
		t.Errorf("%d attempts, want 3", got)
	}
}

func TestAWaiterMayLeave(t *testing.T) {
	release := make(chan struct{})
	body := photo(t, 6)
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write(body)
	})
	s := newService(t, o)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.Get(ctx, params)
		left <- err
	}()
	eventually(t, "the fetch", func() bool { return o.fetches.Load() == 1 })
	stayed := make(chan error)
	go func() {
		_, err := s.Get(t.Context(), params)
		stayed <- err
	}()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
	close(release)
	if err := <-stayed; err != nil {
		t.Errorf("the one that stayed: %v", err)
	}
	if n := o.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestKeysDiffer(t *testing.T) {
	s := newService(t, newOrigin(t, serving(nil)))
	seen := map[cache.Key]string{}
	for _, p := range []validate.Params{
		params,
		{Href: "/a.jpg", Width: 64, Quality: 7, Format: transform.WebP},
		{Href: "/a.jpg", Width: 647, Quality: 5, Format: transform.WebP},
		{Href: "/a.jpg", Width: 64, Quality: 75},
		{Href: "/a.jpg6", Width: 4, Quality: 75, Format: transform.WebP},
	} {
		k := s.Key(p)
		if other, ok := seen[k]; ok {
			t.Errorf("%+v has the key of %s", p, other)
		}
		seen[k] = fmt.Sprintf("%+v", p)
	}
}

//go:build e2e

package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/jpeg"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin serves a different photo under every path and counts who asks. It can be slow, and out of order.
type origin struct {
	t    testing.TB
	addr string

	mu      sync.Mutex
	fetches map[string]int
	version map[string]int // of the photo; a path that is not in here has version 0
	delay   time.Duration
	fails   int           // a status instead of photos, 0 for none
	control string        // Cache-Control
	gate    chan struct{} // nil: open
	base    *image.YCbCr
	photos  map[string][]byte
}

func startOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{t: t, fetches: map[string]int{}, version: map[string]int{}, photos: map[string][]byte{}}
	b, err := os.ReadFile("../../testdata/images/photo-640.jpg")
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var ok bool
	if o.base, ok = decoded.(*image.YCbCr); !ok || o.base.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		t.Fatalf("photo-640.jpg is not what photo expects: %T", decoded)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = l.Addr().String()
	server := &http.Server{Handler: o}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		o.release()
		_ = server.Close() // what it could not close is closed with the process
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the origin ended: %v", err)
		}
	})
	return o
}

func (o *origin) url() string { return "http://" + o.addr }

// set changes how the origin behaves.
func (o *origin) set(f func(*origin)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

// hold makes answers wait until release.
func (o *origin) hold() {
	o.set(func(o *origin) { o.gate = make(chan struct{}) })
}

func (o *origin) release() {
	o.set(func(o *origin) {
		if o.gate != nil {
			close(o.gate)
		}
		o.gate = nil
	})
}

// fetched is how often the paths were asked for, all together, and the most for one of them.
func (o *origin) fetched(variants ...variant) (all, most int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range variants {
		all += o.fetches[v.href]
		most = max(most, o.fetches[v.href])
	}
	return all, most
}

// change puts another photo under a path.
func (o *origin) change(href string) {
	o.set(func(o *origin) { o.version[href]++ })
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.fetches[r.URL.Path]++
	delay, gate, fails, control, version := o.delay, o.gate, o.fails, o.control, o.version[r.URL.Path]
	o.mu.Unlock()
	for _, wait := range []<-chan struct{}{gate, after(delay)} {
		if wait == nil {
			continue
		}
		select {
		case <-wait:
		case <-r.Context().Done():
			return
		}
	}
	header := w.Header()
	switch {
	case fails != 0:
		w.WriteHeader(fails)
		return
	case strings.HasSuffix(r.URL.Path, ".svg"):
		header.Set("Content-Type", "image/svg+xml")
		_, _ = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>%s</title></svg>`, r.URL.Path)
		return
	}
	photo := o.photo(r.URL.Path, version)
	etag := fmt.Sprintf(`"%x-%d"`, hash(r.URL.Path), version)
	header.Set("Content-Type", "image/jpeg")
	header.Set("ETag", etag)
	if control != "" {
		header.Set("Cache-Control", control)
	}
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", fmt.Sprint(len(photo)))
	_, _ = w.Write(photo) // whoever asked may have gone
}

// after is a channel that is closed after a time; nil for none.
func after(d time.Duration) <-chan struct{} {
	if d <= 0 {
		return nil
	}
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// photo is a part of the base photo that depends on path and version, with some of its lines made brighter so that no
// two are equal.
func (o *origin) photo(path string, version int) []byte {
	id := fmt.Sprint(path, " ", version)
	o.mu.Lock()
	done := o.photos[id]
	o.mu.Unlock()
	if done != nil {
		return done
	}
	sum := hash(id)
	const width, height = 512, 336
	part := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	x, y := int(sum%64)*2, int(sum>>8%45)*2
	for row := range height {
		copy(part.Y[row*part.YStride:][:width], o.base.Y[o.base.YOffset(x, y+row):])
	}
	for row := range height / 2 {
		at := o.base.COffset(x, y+2*row)
		copy(part.Cb[row*part.CStride:][:width/2], o.base.Cb[at:])
		copy(part.Cr[row*part.CStride:][:width/2], o.base.Cr[at:])
	}
	for bit := range 32 { // a bar code of the id
		if sum>>(16+bit)&1 == 0 {
			continue
		}
		for row := range 8 {
			for column := range width / 32 {
				part.Y[row*part.YStride+bit*width/32+column] = 235
			}
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, part, &jpeg.Options{Quality: 82}); err != nil {
		o.t.Error(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.photos[id] = b.Bytes()
	return b.Bytes()
}

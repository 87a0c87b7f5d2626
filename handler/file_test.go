package handler

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/validate"
)

// diskImages answers from a disk tier alone, as Opener or, when it is only Images, as one that reads.
type diskImages struct {
	store *cache.Tiered
	gets  atomic.Int64
	opens atomic.Int64
	// opened, when set, is called with what was opened before it is answered from.
	opened func(k cache.Key, o *cache.Opened)
}

func diskKey(href string) cache.Key { return sha256.Sum256([]byte(href)) }

func (d *diskImages) Lookup(validate.Params) (Result, bool) { return Result{}, false }

func (d *diskImages) Get(ctx context.Context, p validate.Params) (Result, error) {
	d.gets.Add(1)
	e, err := d.store.Get(ctx, diskKey(p.Href))
	if err != nil {
		return Result{}, err
	}
	return Result{Entry: e, State: e.State(time.Now())}, nil
}

func (d *diskImages) Open(p validate.Params) *cache.Opened {
	o := d.store.Open(diskKey(p.Href))
	if o != nil {
		d.opens.Add(1)
		if d.opened != nil {
			d.opened(diskKey(p.Href), o)
		}
	}
	return o
}

// whole is d without Open.
type whole struct{ d *diskImages }

func (w whole) Lookup(p validate.Params) (Result, bool) { return w.d.Lookup(p) }
func (w whole) Get(ctx context.Context, p validate.Params) (Result, error) {
	return w.d.Get(ctx, p)
}

// newDiskImages returns a disk tier in a folder of its own.
func newDiskImages(t testing.TB) (d *diskImages, dir string) {
	t.Helper()
	dir = t.TempDir()
	disk, err := cache.OpenDisk(cache.DiskOptions{Path: dir, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	<-disk.Scanned() // which opens folders, and allocates
	d = &diskImages{store: cache.NewTiered(cache.Tier{Name: "disk", Store: disk})}
	t.Cleanup(func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, dir
}

// put stores an image and, if it is to be sendable, has it checked.
func (d *diskImages) put(t testing.TB, href, contentType string, size int, checked bool) *cache.Entry {
	t.Helper()
	e := testEntry(0)
	e.Href, e.ContentType, e.Body = href, contentType, make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(e.Body) // cannot fail
	e.StoredAt, e.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
	if err := d.store.Put(context.Background(), diskKey(href), e); err != nil {
		t.Fatal(err)
	}
	if checked {
		if _, err := d.store.Get(context.Background(), diskKey(href)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (d *diskImages) hits() uint64 { return d.store.Stats()[0].Hits }

var dateLine = regexp.MustCompile(`Date: [^\r]*\r\n`)

// talk writes requests on one connection, the last of which closes it, and returns all that comes back but the date.
func talk(t testing.TB, addr, raw string) string {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return dateLine.ReplaceAllString(string(b), "")
}

// fileSizes are on either side of every bound that a body's size has here and in fasthttp.
var fileSizes = []int{1, 500, gatherMin - 1, gatherMin, 8191, 8192, 8193, fileMin - 1, fileMin, 45_000, sendingMin, writePart - 1, writePart, writePart + 1, 1 << 20}

// What is answered from a file is, to the byte, what is answered from memory.
func TestFileSameBytes(t *testing.T) {
	d, _ := newDiskImages(t)
	for _, size := range fileSizes {
		d.put(t, fmt.Sprintf("/%d.jpg", size), "image/webp", size, true)
	}
	d.put(t, "/big.svg", "image/svg+xml", 40_000, true)
	d.put(t, "/type.jpg", "image/none", 40_000, true)
	load := &Load{}
	for name, change := range map[string]func(*Options){
		"default": nil,
		"cookie":  func(o *Options) { o.DeploymentCookie = "v" },
		"timing":  func(o *Options) { o.ServerTiming = TimingAlways },
		"inline":  func(o *Options) { o.ContentDispositionType, o.NoCompress = "inline", true },
	} {
		t.Run(name, func(t *testing.T) {
			want := start(t, whole{d}, change)
			got := start(t, d, func(o *Options) {
				if change != nil {
					change(o)
				}
				o.Load = load
			})
			target := func(name any) string { return fmt.Sprintf("/_next/image?url=%%2F%v&w=64&q=75", name) }
			etag := "If-None-Match: " + testEntry(0).ETag
			var requests []string
			for _, size := range fileSizes {
				jpg := target(fmt.Sprintf("%d.jpg", size))
				requests = append(requests, request("GET", jpg, "Connection: close"), "GET "+jpg+" HTTP/1.0\r\n\r\n",
					request("GET", jpg)+request("GET", jpg, "Connection: close"))
			}
			jpg := target("45000.jpg")
			pipelined := request("GET", target("500.jpg")) + request("GET", target("8192.jpg")) + request("GET", target("none.jpg")) +
				request("GET", target("1048576.jpg")) + request("GET", jpg, etag) + request("HEAD", jpg) + request("GET", jpg) +
				request("GET", target("1.jpg")) + request("GET", target(fmt.Sprint(fileMin, ".jpg"))) + request("GET", jpg, "Connection: close")
			requests = append(requests, pipelined,
				request("GET", jpg, etag, "Connection: close"),
				request("GET", jpg, "If-None-Match: *", "Connection: close"),
				request("GET", jpg, "If-None-Match: other", "Connection: close"),
				request("GET", jpg, etag, "Cache-Control: no-cache", "Connection: close"),
				request("GET", jpg, etag, "If-Modified-Since: now", "Connection: close"),
				request("HEAD", jpg, "Connection: close"),
				request("HEAD", jpg, etag, "Connection: close"),
				request("GET", jpg, "Range: bytes=0-1", "Connection: close"),
				request("GET", target("big.svg"), "Accept-Encoding: gzip", "Connection: close"),
				request("GET", target("big.svg"), "Connection: close"),
				request("GET", target("big.svg"), etag, "Accept-Encoding: gzip", "Connection: close"),
				request("GET", target("type.jpg"), "Connection: close"),
				request("POST", jpg, "Connection: close"))
			for _, raw := range requests {
				if got, want := talk(t, got, raw), talk(t, want, raw); got != want {
					t.Errorf("%.200q:\n got %d bytes %.600q\nwant %d bytes %.600q", raw, len(got), got, len(want), want)
				}
			}
		})
	}
	if d.opens.Load() < int64(len(fileSizes)) {
		t.Errorf("opened %d times", d.opens.Load())
	}
	noFiles(t, load)
}

// noFiles waits until no file is counted.
func noFiles(t *testing.T, load *Load) {
	t.Helper()
	eventually(t, func() bool { return load.files.Load() == 0 })
}

// Get is asked for nothing but what nobody has checked yet, and every hit is counted once.
func TestFileGets(t *testing.T) {
	d, dir := newDiskImages(t)
	e := d.put(t, "/a.jpg", "image/webp", 45_000, false)
	outcomes := make(chan Outcome, 1)
	addr := start(t, d, func(o *Options) { o.Observer = observing(outcomes) })
	for i, c := range []struct {
		lines  []string
		status int
		bytes  int
		gets   int64 // so far
	}{
		{[]string{"If-None-Match: " + e.ETag}, 304, 0, 0},
		{nil, 200, 45_000, 1},
		{nil, 200, 45_000, 1},
		{[]string{"If-None-Match: other"}, 200, 45_000, 1},
		{[]string{"If-None-Match: " + e.ETag}, 304, 0, 1},
	} {
		got := send(t, addr, request("GET", aJPG, c.lines...))
		if got.StatusCode != c.status || c.status == 200 && !bytes.Equal(got.body, e.Body) {
			t.Errorf("%d: %d, %d bytes", i, got.StatusCode, len(got.body))
		}
		if n := d.gets.Load(); n != c.gets {
			t.Errorf("%d: Get was asked %d times, want %d", i, n, c.gets)
		}
		o := <-outcomes
		o.Duration = 0
		want := Outcome{Status: c.status, Reason: reasonOK, State: cache.Hit, Bytes: c.bytes}
		if c.status == 304 {
			want.Reason = reasonNotModified
		}
		if o != want {
			t.Errorf("%d: %+v, want %+v", i, o, want)
		}
	}
	if n := d.hits(); n != 5 {
		t.Errorf("%d hits", n)
	}
	if n := openIn(t, dir); n != 0 {
		t.Errorf("%d files open", n)
	}
}

// What is asked for again soon gets into memory, also by those who have it already.
func TestFilePromoted(t *testing.T) {
	disk, err := cache.OpenDisk(cache.DiskOptions{Path: t.TempDir(), MaxBytes: 1 << 30})
	must(t, err)
	memory, err := cache.NewMemory(1 << 20)
	must(t, err)
	d := &diskImages{store: cache.NewTiered(cache.Tier{Name: "memory", Store: memory}, cache.Tier{Name: "disk", Store: disk})}
	t.Cleanup(func() { must(t, d.store.Close()) })
	addr := start(t, d, nil)
	for i, lines := range [][]string{{"If-None-Match: " + testEntry(0).ETag}, nil} {
		e := d.put(t, fmt.Sprintf("/%d.jpg", i), "image/webp", 30_000, false)
		must(t, memory.Delete(t.Context(), diskKey(e.Href)))
		_, err := d.store.Get(t.Context(), diskKey(e.Href)) // which checks the file, and has the entry in memory again
		must(t, err)
		must(t, memory.Delete(t.Context(), diskKey(e.Href)))
		d.gets.Store(0)
		for n := range int64(2) {
			got := send(t, addr, request("GET", fmt.Sprintf("/_next/image?url=%%2F%d.jpg&w=64&q=75", i), lines...))
			_, err := memory.Get(t.Context(), diskKey(e.Href))
			if got.StatusCode != 304-104*i || d.gets.Load() != n || (err == nil) != (n == 1) {
				t.Errorf("%v, the %d. time: %d, Get was asked %d times, in memory: %v", lines, n+1, got.StatusCode, d.gets.Load(), err)
			}
		}
	}
}

// openIn returns how many files in a folder this process has open.
func openIn(t testing.TB, dir string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, dir) && strings.Contains(target, ".entry") {
			n++
		}
	}
	return n
}

// A damaged file is never sent: neither one that nobody has read yet nor one that changed since.
func TestFileDamaged(t *testing.T) {
	for _, checked := range []bool{false, true} {
		d, dir := newDiskImages(t)
		d.put(t, "/a.jpg", "image/webp", 45_000, checked)
		files, err := filepath.Glob(filepath.Join(dir, "*", "*.entry"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		b, err := os.ReadFile(files[0])
		must(t, err)
		b[len(b)-1]++
		must(t, os.WriteFile(files[0], b, 0o600))
		addr := start(t, d, nil)
		if got := send(t, addr, request("GET", aJPG)); got.StatusCode == 200 || len(got.body) > 1000 {
			t.Errorf("checked before: %t: %d, %d bytes", checked, got.StatusCode, len(got.body))
		}
	}
}

// Of a file that somebody cuts off while it is being sent nothing is made up: the answer ends early.
func TestFileCutOff(t *testing.T) {
	for _, size := range []int{5000, 400_000} {
		d, dir := newDiskImages(t)
		d.put(t, "/a.jpg", "image/webp", size, true)
		load := &Load{}
		addr := start(t, d, func(o *Options) { o.Load = load })
		d.opened = func(cache.Key, *cache.Opened) {
			files, err := filepath.Glob(filepath.Join(dir, "*", "*.entry"))
			if err == nil {
				err = os.Truncate(files[0], 2000)
			}
			if err != nil {
				t.Error(err)
			}
		}
		c := dial(t, addr)
		_, err := io.WriteString(c, request("GET", aJPG))
		must(t, err)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil { // else nothing was sent at all
			if b, err := io.ReadAll(res.Body); err == nil || len(b) >= size {
				t.Errorf("%d of %d bytes, %v", len(b), size, err)
			}
		}
		noFiles(t, load)
	}
}

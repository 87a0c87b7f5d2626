package handler

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"imgopt/testkit/race"
)

// However an exchange ends, its file is closed and no longer counted.
func TestFileReleased(t *testing.T) {
	const size = 8 << 20
	d, dir := newDiskImages(t)
	d.put(t, "/a.jpg", "image/webp", size, true)
	t.Run("left", func(t *testing.T) {
		load := &Load{}
		addr := start(t, d, func(o *Options) { o.Load = load })
		c := slowDial(t, addr)
		_, err := io.WriteString(c, request("GET", aJPG)+request("GET", aJPG))
		must(t, err)
		_, err = io.CopyN(io.Discard, c, 1000)
		must(t, err)
		if n := load.files.Load(); n != 1 {
			t.Errorf("%d files in use", n)
		}
		must(t, c.Close())
		noFiles(t, load)
	})
	t.Run("slow", func(t *testing.T) {
		load := &Load{}
		o := testOptions()
		o.Load = load
		app, err := New(d, testRules(t), o)
		must(t, err)
		addr := serveApp(t, app, ListenOptions{WriteTimeout: 200 * time.Millisecond, PressureTimeout: 50 * time.Millisecond})
		c := slowDial(t, addr)
		_, err = io.WriteString(c, request("GET", aJPG))
		must(t, err)
		eventually(t, func() bool { return load.ResponsesCut() == 1 })
		noFiles(t, load)
		if b, err := io.ReadAll(c); err == nil && len(b) >= size {
			t.Errorf("%d bytes", len(b))
		}
	})
	t.Run("steady", func(t *testing.T) { // each part has the whole time
		load := &Load{}
		o := testOptions()
		o.Load = load
		app, err := New(d, testRules(t), o)
		must(t, err)
		addr := serveApp(t, app, ListenOptions{WriteTimeout: 10 * time.Second, PressureTimeout: time.Millisecond})
		c := slowDial(t, addr)
		_, err = io.WriteString(c, request("GET", aJPG))
		must(t, err)
		if got := read(t, bufio.NewReaderSize(c, 64<<10), "GET"); len(got.body) != size || load.ResponsesCut() != 0 {
			t.Errorf("%d bytes, %d cut off", len(got.body), load.ResponsesCut())
		}
		noFiles(t, load)
	})
	eventually(t, func() bool { return openIn(t, dir) == 0 })
}

// As many files as may be are in use: the others are read, where they count as memory.
func TestFileLimit(t *testing.T) {
	d, _ := newDiskImages(t)
	d.put(t, "/a.jpg", "image/webp", 100_000, true)
	load := &Load{}
	addr := start(t, d, func(o *Options) { o.Load = load })
	load.files.Store(maxFiles)
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 200 || len(got.body) != 100_000 || d.gets.Load() != 1 {
		t.Errorf("%d, %d bytes, Get was asked %d times", got.StatusCode, len(got.body), d.gets.Load())
	}
	if n := load.files.Load(); n != maxFiles {
		t.Errorf("%d in use", n)
	}
	load.files.Store(maxFiles - 1)
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 200 || len(got.body) != 100_000 || d.gets.Load() != 1 {
		t.Errorf("%d, %d bytes, Get was asked %d times", got.StatusCode, len(got.body), d.gets.Load())
	}
	eventually(t, func() bool { return load.files.Load() == maxFiles-1 })
	load.files.Store(0)
}

// While most files are in use, slow clients are cut off sooner.
func TestFilePressure(t *testing.T) {
	c := &conn{load: &Load{}, writeTimeout: time.Minute, pressureTimeout: time.Second}
	c.file.left = 1
	if d := c.patience(); d != time.Minute {
		t.Errorf("%v", d)
	}
	c.load.files.Store(maxFiles/2 + 1)
	if d := c.patience(); d != time.Second {
		t.Errorf("%v", d)
	}
	if c.file.left = 0; c.patience() != time.Minute {
		t.Error("who is sent no file has less time")
	}
}

// Many clients ask for the same few files while these are replaced. Every answer is one whole version.
func TestFileConcurrent(t *testing.T) {
	d, dir := newDiskImages(t)
	load := &Load{}
	addr := start(t, d, func(o *Options) { o.Load = load })
	sizes := []int{3000, 20_000, 300_000}
	store := func(i int) error {
		e := testEntry(sizes[i%3])
		e.Href = fmt.Sprintf("/%d.jpg", i%3)
		for j := range e.Body {
			e.Body[j] = byte(i % 255) // of which the remainder by 3 is still i's
		}
		e.StoredAt, e.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
		return d.store.Put(context.Background(), diskKey(e.Href), e)
	}
	for i := range 3 {
		must(t, store(i))
	}
	stop, done := make(chan struct{}), make(chan error, 9)
	go func() {
		done <- func() error {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := store(i); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // between replacements, so that files are also sent
			}
		}()
	}()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	for g := range 8 {
		go func() {
			done <- func() error {
				for i := range 150 {
					n := (i + g) % 3
					res, err := client.Get(fmt.Sprintf("http://%s/_next/image?url=%%2F%d.jpg&w=64&q=75", addr, n))
					if err != nil {
						return err
					}
					b, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err != nil {
						return err
					}
					if res.StatusCode != 200 || len(b) != sizes[n] || bytes.Count(b, b[:1]) != len(b) || int(b[0])%3 != n {
						return fmt.Errorf("%d: %d, %d bytes, from % x to % x", n, res.StatusCode, len(b), b[0], b[len(b)-1])
					}
				}
				return nil
			}()
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	must(t, <-done)
	if d.opens.Load() == 0 {
		t.Error("nothing was opened")
	}
	noFiles(t, load)
	eventually(t, func() bool { return openIn(t, dir) == 0 })
}

// fileCtx is an exchange over a real connection that somebody reads from.
func fileCtx(t testing.TB, d *diskImages, headers ...string) (serve func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	drained := make(chan struct{})
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, client)
	}()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	load := &Load{}
	c := &conn{Conn: server, load: load, writeTimeout: time.Minute, pressureTimeout: time.Minute}
	t.Cleanup(func() {
		_ = c.Close()
		<-drained
		_ = client.Close()
	})
	o := testOptions()
	o.Load = load
	app, err := New(d, testRules(t), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := benchCtx(headers...)
	ctx.Init2(c, nil, false)
	handler, w := app.Server().Handler, bufio.NewWriterSize(c, writeBuffer)
	return func() {
		handler(ctx)
		if err := ctx.Response.Write(w); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		ctx.Response.Reset()
	}
}

const benchHref = "/_next/static/media/photo-of-something.3f9a1c2b.jpg"

// A hit from disk allocates what its header takes, and nothing that grows with the image.
func TestFileAllocations(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		headers []string
		want    float64
	}{
		{"304", 45 << 10, []string{"If-None-Match", testEntry(0).ETag}, 6},
		{"200", 45 << 10, nil, 10},
		{"large", 1 << 20, nil, 10},
		{"small", 4 << 10, nil, 10},
	} {
		d, _ := newDiskImages(t)
		d.put(t, benchHref, "image/webp", c.size, true)
		serve := fileCtx(t, d, c.headers...)
		if allocs := testing.AllocsPerRun(1000, serve); allocs > c.want && !race.Enabled {
			t.Errorf("%s: %v allocations, want %v", c.name, allocs, c.want)
		} else {
			t.Logf("%s: %v allocations", c.name, allocs)
		}
		if d.gets.Load() != 0 {
			t.Errorf("%s: Get was asked", c.name)
		}
	}
}

// BenchmarkDisk is what a hit from disk costs on a connection, from the file and, as Get does it, read whole.
func BenchmarkDisk(b *testing.B) {
	for _, size := range []int{4 << 10, 45 << 10, 1 << 20} {
		for name, headers := range map[string][]string{"200": nil, "304": {"If-None-Match", testEntry(0).ETag}} {
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				d, _ := newDiskImages(b)
				d.put(b, benchHref, "image/webp", size, true)
				serve := fileCtx(b, d, headers...)
				b.ReportAllocs()
				for b.Loop() {
					serve()
				}
			})
		}
	}
}

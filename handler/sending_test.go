package handler

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/cache"
	"imgopt/testkit/race"
	"imgopt/validate"
)

func TestHold(t *testing.T) {
	l := &Load{}
	l.limit.Store(100)
	a, b, c := &sending{body: make([]byte, 60)}, &sending{body: make([]byte, 40)}, &sending{body: make([]byte, 1)}
	used := func(want int64) {
		t.Helper()
		if n, limit, waiting := l.ResponseMemory(); n != want || limit != 100 || waiting != 0 {
			t.Errorf("%d of %d used, want %d", n, limit, want)
		}
	}
	for range 2 {
		if !l.hold(a) {
			t.Fatal("refused")
		}
	}
	used(60)
	if !l.hold(b) || l.hold(c) {
		t.Fatal("not as much as there is room for")
	}
	used(100)
	if !l.hold(a) {
		t.Fatal("what is being sent already takes no room")
	}
	for range 3 {
		l.release(a)
	}
	used(40)
	l.release(b)
	used(0)
	huge := &sending{body: make([]byte, 1000)}
	if !l.hold(huge) || l.hold(c) || !l.hold(huge) {
		t.Fatal("one body is always allowed, and only that one")
	}
	used(1000)
	l.release(huge)
	l.release(huge)
	used(0)
	l.limit.Store(0)
	if !l.hold(a) || !l.hold(huge) || l.pressed() {
		t.Error("limited without a limit")
	}
}

// Whatever the order, every body is counted once while anyone sends it, and nothing is left in the end.
func TestHoldConcurrent(t *testing.T) {
	l := &Load{}
	l.limit.Store(1000)
	bodies := make([]*sending, 10)
	for i := range bodies {
		bodies[i] = &sending{body: make([]byte, 300)}
	}
	var wg sync.WaitGroup
	var refused atomic.Int64
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for range 20000 {
				s := bodies[r.IntN(len(bodies))]
				if !l.hold(s) {
					refused.Add(1)
					continue
				}
				// Those that race for the same body may each have counted it for a moment.
				if n, _, _ := l.ResponseMemory(); n < 300 || n > 1000 {
					t.Errorf("%d used", n)
				}
				runtime.Gosched()
				l.release(s)
			}
		})
	}
	wg.Wait()
	if n, _, _ := l.ResponseMemory(); n != 0 || refused.Load() == 0 {
		t.Errorf("%d used, %d refused", n, refused.Load())
	}
}

// slowDial connects with a small receive buffer, so that the kernel takes little of an answer that is not read.
func slowDial(t *testing.T, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }); e != nil {
			return e
		}
		return err
	}}
	c, err := d.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

// bodies answers every url with an entry of its own, made when it is asked for and kept by nobody else, as if the cache
// had dropped it at once. Its size is in the url.
func bodies(contentType string) *fakeImages {
	return &fakeImages{lookup: func(p validate.Params) (Result, bool) {
		u, err := url.Parse(p.Href)
		if err != nil {
			return Result{}, false
		}
		size, _ := strconv.Atoi(u.Query().Get("size"))
		e := testEntry(0)
		e.Body, e.ContentType = make([]byte, size), contentType
		if contentType == "image/bmp" {
			_, _ = rand.NewChaCha8([32]byte{1}).Read(e.Body) // so that compression makes nothing smaller
		}
		return Result{Entry: e, State: cache.Hit}, true
	}}
}

func sized(name string, size int) string {
	return "/_next/image?w=64&q=75&url=" + url.QueryEscape(fmt.Sprintf("http://127.0.0.1/%s?size=%d", name, size))
}

// Two hundred clients each ask for another image of 5 MB and do not read: memory stays bounded, others are served, the
// clients are cut off, and nothing is left of it.
func TestSlowReadersMemory(t *testing.T) {
	const (
		clients, size, limit = 200, 5 << 20, 32 << 20
		patient, pressed     = 3 * time.Second, 500 * time.Millisecond
	)
	load := &Load{}
	outcomes := make(chan Outcome, 4*clients)
	o := testOptions()
	o.Load, o.ResponseMemory, o.Observer = load, limit, observing(outcomes)
	images := bodies("image/webp")
	popular := testEntry(size)
	inner := images.lookup
	images.lookup = func(p validate.Params) (Result, bool) {
		if p.Href == "/a.jpg" {
			return Result{Entry: popular, State: cache.Hit}, true
		}
		return inner(p)
	}
	app, err := New(images, testRules(t), o)
	must(t, err)
	addr := serveApp(t, app, ListenOptions{WriteTimeout: patient, PressureTimeout: pressed})

	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, started := heap(), time.Now()
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = slowDial(t, addr)
		_, err := io.WriteString(conns[i], request("GET", sized(fmt.Sprint(i), size)))
		must(t, err)
	}
	served, refused := 0, 0
	for range clients {
		switch o := <-outcomes; {
		case o.Status == 200:
			served++
		case o.Status == 503 && o.Reason == "response_memory":
			refused++
		default:
			t.Errorf("%+v", o)
		}
	}
	asked := time.Since(started)
	if served < limit/size || refused == 0 {
		t.Errorf("%d served, %d refused", served, refused)
	}
	if n, _, _ := load.ResponseMemory(); n > limit || n == 0 && asked < pressed {
		t.Errorf("%d bytes are being sent", n)
	}
	// Beside the bodies there are 200 connections, with a buffer of 32 KB each.
	if grown := heap() - before; grown > limit+clients*96<<10 {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	}
	t.Logf("%d served, %d refused in %v; the heap grew by %d MB", served, refused, asked, (heap()-before)>>20)
	// Whoever asks for little, or for what is being sent already, is served.
	if got := send(t, addr, request("GET", sized("small", sendingMin-1))); got.StatusCode != 200 || len(got.body) != sendingMin-1 {
		t.Errorf("a small image: %d", got.StatusCode)
	}
	eventually(t, func() bool { n, _, _ := load.ResponseMemory(); return n <= limit/2 })
	if d := time.Since(started) - asked; d > patient {
		t.Errorf("half of the memory is free after %v", d)
	}
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 200 || len(got.body) != size {
		t.Errorf("a large image: %d, %d bytes", got.StatusCode, len(got.body))
	}
	eventually(t, func() bool { n, _, _ := load.ResponseMemory(); return n == 0 })
	if d := time.Since(started) - asked; d > patient+2*time.Second {
		t.Errorf("all are cut off after %v", d)
	}
	if n := int(load.ResponsesCut()); n != served {
		t.Errorf("%d cut off, want %d", n, served)
	}
	t.Logf("all cut off after %v", time.Since(started))
	statuses := map[int]int{}
	for _, c := range conns {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			continue // reset before the answer was read
		}
		statuses[res.StatusCode]++
		if res.StatusCode == 503 && res.Header.Get("Retry-After") != "1" {
			t.Errorf("%v", res.Header)
		}
		if n, err := io.Copy(io.Discard, res.Body); res.StatusCode == 200 && err == nil {
			t.Errorf("one who did not read got all %d bytes", n)
		}
	}
	if statuses[503] != refused {
		t.Errorf("statuses %v, %d refused", statuses, refused)
	}
}

// However an exchange ends, what it counted is released.
func TestReleased(t *testing.T) {
	const size = 300 << 10
	type exchange struct {
		contentType string
		requests    []string // one after the other's answer, unless pipelined
		pipelined   bool
		leave       int // 0: read all; else leave after so many bytes
	}
	big := sized("a", size)
	for name, x := range map[string]exchange{
		"plain":                 {requests: []string{request("GET", big)}},
		"kept alive":            {requests: []string{request("GET", big), request("GET", big), request("GET", "/_next/image")}},
		"HEAD":                  {requests: []string{request("HEAD", big)}},
		"304":                   {requests: []string{request("GET", big, "If-None-Match: "+testEntry(0).ETag)}},
		"HTTP/1.0":              {requests: []string{"GET " + big + " HTTP/1.0\r\n\r\n"}},
		"closing":               {requests: []string{request("GET", big, "Connection: close")}},
		"pipelined":             {pipelined: true, requests: []string{request("GET", "/_next/image"), request("GET", big), request("HEAD", big), request("GET", sized("b", size)), request("GET", aJPG), request("GET", big)}},
		"gzip":                  {contentType: "image/bmp", requests: []string{request("GET", big, "Accept-Encoding: gzip"), request("GET", "/_next/image")}},
		"gzip, pipelined":       {contentType: "image/bmp", pipelined: true, requests: []string{request("GET", big, "Accept-Encoding: gzip"), request("GET", big, "Accept-Encoding: deflate"), request("GET", big), request("GET", "/_next/image")}},
		"gzip for HTTP/1.0":     {contentType: "image/bmp", requests: []string{"GET " + big + " HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"}},
		"deflate":               {contentType: "image/bmp", requests: []string{request("GET", big, "Accept-Encoding: deflate")}},
		"left":                  {requests: []string{request("GET", sized("c", 8<<20))}, leave: 1000},
		"left at once":          {requests: []string{request("GET", sized("c", 8<<20))}, leave: 1},
		"left in gzip":          {contentType: "image/bmp", requests: []string{request("GET", sized("c", 2<<20), "Accept-Encoding: gzip")}, leave: 1000},
		"left while pipelining": {pipelined: true, requests: []string{request("GET", big), request("GET", sized("c", 8<<20)), request("GET", big)}, leave: size + 5000},
	} {
		t.Run(name, func(t *testing.T) {
			load := &Load{}
			var peak atomic.Int64
			images := bodies(orDefault(x.contentType, "image/webp"))
			images.get = func(context.Context, validate.Params) (Result, error) { return Result{}, nil }
			addr := start(t, images, func(o *Options) {
				o.Load, o.ResponseMemory = load, 1<<30
				o.Observer = counting(func() { n, _, _ := load.ResponseMemory(); peak.Store(max(peak.Load(), n)) })
			})
			c := dial(t, addr)
			if x.leave > 0 {
				c = slowDial(t, addr)
			}
			r := bufio.NewReader(c)
			if x.pipelined {
				_, err := io.WriteString(c, strings.Join(x.requests, ""))
				must(t, err)
			}
			for _, raw := range x.requests {
				if !x.pipelined {
					_, err := io.WriteString(c, raw)
					must(t, err)
				}
				if x.leave > 0 {
					_, err := io.CopyN(io.Discard, r, int64(x.leave))
					must(t, err)
					break
				}
				method, _, _ := strings.Cut(raw, " ")
				got := read(t, r, method)
				if strings.Contains(raw, "size%3D") && method == "GET" && got.StatusCode == 200 {
					want := make([]byte, size)
					if x.contentType == "image/bmp" {
						_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
					}
					if body := decode(t, got.body, got.Header.Get("Content-Encoding")); !bytes.Equal(body, want) {
						t.Errorf("%.60q: %d bytes, not the image", raw, len(body))
					}
				}
			}
			if x.leave > 0 {
				must(t, c.Close())
			}
			// The connection is still open where it is kept: what is released is not released by its end alone.
			eventually(t, func() bool { n, _, _ := load.ResponseMemory(); return n == 0 })
			if counted := peak.Load() > 0; counted == (name == "HEAD" || name == "304") {
				t.Errorf("at most %d bytes were counted", peak.Load())
			}
		})
	}
}

// counting is an Observer that calls a function with each answer.
type counting func()

func (counting) RequestStarted()       {}
func (f counting) RequestDone(Outcome) { f() }

// A bug after a body was counted costs one request, and its count.
func TestPanicReleases(t *testing.T) {
	load := &Load{}
	load.limit.Store(1 << 30)
	c := &conn{load: load}
	if !c.hold(&sending{body: make([]byte, 100)}) {
		t.Fatal("refused")
	}
	c.gatherNext()
	c.sendNothing()
	if n, _, _ := load.ResponseMemory(); n != 0 || c.gather {
		t.Errorf("%d bytes, gathering %t", n, c.gather)
	}
}

// Counting a body costs no allocation either.
func TestLargeHitAllocations(t *testing.T) {
	if race.Enabled {
		t.Log("the race detector allocates: the bound holds without it")
	}
	e, load := testEntry(200<<10), &Load{}
	o := testOptions()
	o.Load, o.ResponseMemory = load, 1<<20
	app, err := New(hits(e), testRules(t), o)
	must(t, err)
	c := &conn{Conn: nowhere{}, load: load, writeTimeout: time.Minute, pressureTimeout: time.Minute}
	ctx := benchCtx()
	ctx.Init2(c, nil, false)
	head := make([]byte, 1000)
	allocs := testing.AllocsPerRun(200, func() {
		ctx.Response.Reset()
		app.Server().Handler(ctx)
		if n, _, _ := load.ResponseMemory(); n != 200<<10 || ctx.Response.StatusCode() != 200 {
			t.Fatalf("%d, %d bytes", ctx.Response.StatusCode(), n)
		}
		_, _ = c.Write(head)
		_, _ = c.Write(ctx.Response.Body()[100:])
		if n, _, _ := load.ResponseMemory(); n != 0 {
			t.Fatalf("%d bytes", n)
		}
	})
	if allocs > 0 && !race.Enabled {
		t.Errorf("%v allocations, want none", allocs)
	}
}

// nowhere is a connection that takes everything.
type nowhere struct{ net.Conn }

func (nowhere) Write(b []byte) (int, error)      { return len(b), nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

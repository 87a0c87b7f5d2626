package handler

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/validate"
)

// leaving are the ways in which a client can go away.
var leaving = map[string]func(*testing.T, *net.TCPConn){
	"closes": func(t *testing.T, c *net.TCPConn) { must(t, c.Close()) },
	"resets": func(t *testing.T, c *net.TCPConn) { must(t, c.SetLinger(0)); must(t, c.Close()) },
	// Node ends the exchange then, too.
	"stops sending": func(t *testing.T, c *net.TCPConn) { must(t, c.CloseWrite()) },
	"asks for more and closes": func(t *testing.T, c *net.TCPConn) {
		_, err := io.WriteString(c, request("GET", aJPG)+request("GET", aJPG))
		must(t, err)
		must(t, c.Close())
	},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A client that leaves ends its request's context; nothing else does. That the time to read a request is over long
// before plays no part.
func TestClientGone(t *testing.T) {
	const headers = time.Second // enough for a busy machine, and less than the client waits
	for name, leave := range leaving {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entered, causes := make(chan struct{}), make(chan error, 1)
			outcomes := make(chan Outcome, 1)
			log, load := &logBuffer{}, &Load{}
			addr := start(t, &fakeImages{get: func(ctx context.Context, _ validate.Params) (Result, error) {
				entered <- struct{}{}
				<-ctx.Done()
				causes <- ctx.Err()
				return Result{}, ctx.Err()
			}}, func(o *Options) {
				o.Log, o.Observer, o.Load, o.HeaderTimeout = log.logger(), observing(outcomes), load, headers
			})
			c := dial(t, addr)
			_, err := io.WriteString(c, request("GET", aJPG))
			must(t, err)
			<-entered
			if n := load.Waiting(); n != 1 {
				t.Errorf("%d wait", n)
			}
			select {
			case err := <-causes:
				t.Fatalf("ended with %v while the client was there", err)
			case <-time.After(max(3*watchDelay, headers+headers/4)): // it is being watched, and its headers have no limit any more
			}
			leave(t, c.(*net.TCPConn))
			if err := <-causes; !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
			o := <-outcomes
			o.Duration = 0
			if want := (Outcome{Status: 499, Reason: "client_gone"}); o != want {
				t.Errorf("outcome %+v", o)
			}
			eventually(t, func() bool { return log.String() != "" })
			if s := log.String(); !strings.Contains(s, "status=499") || !strings.Contains(s, "reason=client_gone") || !strings.Contains(s, "level=INFO") {
				t.Errorf("log: %s", s)
			}
			if name == "stops sending" {
				gone(t, c) // without an answer
			}
			if n := load.Waiting(); n != 0 {
				t.Errorf("%d wait", n)
			}
		})
	}
}

// What a client that stays sends while it waits is not lost, in whatever pieces it comes, and the connection's times
// are in force again afterwards.
func TestClientStays(t *testing.T) {
	const idle = 300 * time.Millisecond
	for _, wait := range []time.Duration{0, watchDelay / 2, 3 * watchDelay} {
		t.Run(wait.String(), func(t *testing.T) {
			entered, finish := make(chan struct{}), make(chan error)
			addr := start(t, &fakeImages{get: func(ctx context.Context, p validate.Params) (Result, error) {
				entered <- struct{}{}
				if err := <-finish; err != nil {
					return Result{}, err
				}
				if ctx.Err() != nil {
					t.Error("ended")
				}
				return Result{Entry: testEntry(p.Width), State: cache.Miss}, nil
			}}, func(o *Options) { o.HeaderTimeout, o.IdleTimeout = idle, idle })
			c := dial(t, addr)
			r := bufio.NewReader(c)
			write := func(s string) {
				t.Helper()
				_, err := io.WriteString(c, s)
				must(t, err)
			}
			ask := func(width string) string { return request("GET", "/_next/image?url=%2Fa.jpg&q=75&w="+width) }
			second := ask("96")
			write(ask("64"))
			<-entered
			write(second[:20])
			<-time.After(wait)
			write(second[20:] + ask("128")[:10])
			finish <- nil
			if got := read(t, r, "GET"); got.StatusCode != 200 || !bytes.Equal(got.body, testEntry(64).Body) {
				t.Errorf("first: %d, %d bytes", got.StatusCode, len(got.body))
			}
			<-entered
			<-time.After(wait)
			write(ask("128")[10:])
			finish <- failure.New(404, "x", "gone")
			if got := read(t, r, "GET"); got.StatusCode != 404 {
				t.Errorf("second: %d", got.StatusCode)
			}
			<-entered
			finish <- nil
			if got := read(t, r, "GET"); len(got.body) != 128 || got.Close {
				t.Errorf("third: %d, %d bytes, close %t", got.StatusCode, len(got.body), got.Close)
			}
			started := time.Now()
			gone(t, r)
			if d := time.Since(started); d < idle/2 {
				t.Errorf("closed after %v of rest", d)
			}
		})
	}
}

// While as many wait as may, the next one is refused at once, and all that takes no work is answered.
func TestMaxWaiting(t *testing.T) {
	const limit = 3
	entered, finish := make(chan struct{}), make(chan struct{})
	entry := testEntry(100)
	outcomes := make(chan Outcome, 100)
	load := &Load{}
	stale := testEntry(200)
	addr := start(t, &fakeImages{
		lookup: func(p validate.Params) (Result, bool) { return Result{Entry: entry, State: cache.Hit}, p.Width == 640 },
		get: func(context.Context, validate.Params) (Result, error) {
			entered <- struct{}{}
			<-finish
			return Result{Entry: entry, State: cache.Miss}, nil
		},
	}, func(o *Options) {
		o.MaxWaiting, o.Observer, o.Load = limit, observing(outcomes), load
		o.Cached = func(ctx context.Context, p validate.Params) (Result, bool) {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) > cachedTimeout {
				t.Error("no deadline, or a late one")
			}
			return Result{Entry: stale, State: cache.Stale}, p.Width == 96
		}
	})
	miss, hit := request("GET", aJPG), "/_next/image?url=%2Fa.jpg&w=640&q=75"
	var waiting []net.Conn
	for range limit {
		c := dial(t, addr)
		_, err := io.WriteString(c, miss)
		must(t, err)
		<-entered
		waiting = append(waiting, c)
	}
	if n := load.Waiting(); n != limit {
		t.Errorf("%d wait", n)
	}
	got := send(t, addr, miss)
	if got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" || string(got.body) != "Service Unavailable" || got.Close {
		t.Errorf("%d %q %v", got.StatusCode, got.body, got.Header)
	}
	mustNotBeCached(t, got)
	if o := <-outcomes; o.Reason != "too_many_waiting" {
		t.Errorf("%+v", o)
	}
	for raw, want := range map[string]int{
		request("GET", hit):  200,
		request("HEAD", hit): 200,
		request("GET", hit, "If-None-Match: "+entry.ETag):     304,
		request("GET", "/_next/image?url=%2Fa.jpg&w=1&q=75"):  400,
		request("GET", "/_next/image/?url=%2Fa.jpg"):          308,
		request("GET", "/elsewhere"):                          404,
		request("POST", hit):                                  405,
		request("GET", "/_next/image?url=%2Fa.jpg&w=96&q=75"): 200,
	} {
		if got := send(t, addr, raw); got.StatusCode != want {
			t.Errorf("%q: %d", raw, got.StatusCode)
		} else if strings.Contains(raw, "w=96") && (len(got.body) != 200 || got.Header.Get("X-Nextjs-Cache") != "STALE") {
			t.Errorf("cached: %v", got.Header)
		}
	}
	close(finish)
	for _, c := range waiting {
		if got := read(t, bufio.NewReader(c), "GET"); got.StatusCode != 200 {
			t.Errorf("one that waited: %d", got.StatusCode)
		}
	}
	go func() { <-entered }()
	if got := send(t, addr, miss); got.StatusCode != 200 || load.Waiting() != 0 {
		t.Errorf("afterwards: %d, %d wait", got.StatusCode, load.Waiting())
	}
}

// Connections for what takes no work are left by default.
func TestDefaultMaxWaiting(t *testing.T) {
	blocked := make(chan struct{})
	load := &Load{}
	addr := start(t, &fakeImages{
		get: func(context.Context, validate.Params) (Result, error) {
			<-blocked
			return Result{}, failure.New(404, "x", "x")
		},
	}, func(o *Options) { o.MaxConns, o.Load = 8, load })
	defer close(blocked)
	for range 6 {
		_, err := io.WriteString(dial(t, addr), request("GET", aJPG))
		must(t, err)
	}
	eventually(t, func() bool { return load.Waiting() == 6 && load.Connections() == 6 })
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d", got.StatusCode)
	}
}

// eventually waits for something that other goroutines bring about.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}

// The answers of a service that is about to stop close their connections.
func TestDraining(t *testing.T) {
	ready := NewReadiness()
	addr := start(t, hits(testEntry(10)), func(o *Options) { o.Draining = ready.Draining })
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for _, drain := range []bool{false, true} {
		if drain {
			ready.Drain()
		}
		_, err := io.WriteString(c, request("GET", aJPG))
		must(t, err)
		if got := read(t, r, "GET"); got.StatusCode != 200 || got.Close != drain {
			t.Errorf("draining %t: %d, close %t", drain, got.StatusCode, got.Close)
		}
	}
	gone(t, r)
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 200 {
		t.Errorf("a new connection: %d", got.StatusCode)
	}
}

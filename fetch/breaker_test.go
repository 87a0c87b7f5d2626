package fetch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

// changes collects the calls of OnChange.
type changes struct {
	mu   sync.Mutex
	list []string
}

func (c *changes) add(origin string, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := "closed "
	if open {
		state = "open "
	}
	c.list = append(c.list, state+origin)
}

func (c *changes) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// host is a server for a pipeClient that answers, or does not, as it is told.
type host struct {
	asked atomic.Int32
	how   atomic.Pointer[func(w io.Writer, line string)]
}

func (h *host) does(answer func(w io.Writer, line string)) { h.how.Store(&answer) }

// answers is a complete answer.
func answers(status, body string) func(io.Writer, string) {
	return func(w io.Writer, _ string) {
		fmt.Fprintf(w, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	}
}

var good = answers("200 OK", "x")

// silent keeps a connection and says nothing.
func silent(w io.Writer, _ string) { hang(w) }

// slams closes a connection without a word.
func slams(w io.Writer, _ string) { w.(io.Closer).Close() }

// newHost returns a host, a client for which every name is that host's, and the changes of its circuits.
func newHost(t *testing.T) (*host, *Client, *changes) {
	h, seen := &host{}, &changes{}
	h.does(good)
	c := pipeClient(t, 0, func(w io.Writer, line string) {
		h.asked.Add(1)
		(*h.how.Load())(w, line)
	})
	var err error
	if c.breaker, err = newBreaker(BreakerOptions{Failures: 3, OpenFor: 10 * time.Second, OnChange: seen.add}); err != nil {
		t.Fatal(err)
	}
	return h, c, seen
}

const dying = "http://dying.test"

var (
	hungUp      = want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_connection", retryable: true}
	timedOut    = want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_timeout", retryable: true, timeout: true}
	openAfter   = want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_circuit_open"}
	openTimeout = want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_circuit_open", timeout: true}
)

// ask fetches from the dying host and returns the failure.
func ask(t *testing.T, c *Client, w want) *failure.Error {
	t.Helper()
	_, err := get(t, c, dying+"/")
	if w == (want{}) {
		if err != nil {
			t.Error(err)
		}
		return nil
	}
	return w.check(t, err)
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, seen := newHost(t)
		h.does(slams)
		for range 3 {
			if c.Stats().OpenCircuits != 0 {
				t.Error("open too early")
			}
			ask(t, c, hungUp)
		}
		if got := seen.take(); !slices.Equal(got, []string{"open " + dying}) || c.Stats().OpenCircuits != 1 {
			t.Errorf("changes %v", got)
		}
		// Open: it fails at once, without a connection, and says for how long.
		asked := h.asked.Load()
		time.Sleep(4 * time.Second)
		begin := time.Now()
		if f := ask(t, c, openAfter); f.RetryAfter != 6*time.Second || time.Since(begin) != 0 || !strings.Contains(f.Error(), "upstream_connection") {
			t.Errorf("retry after %v: %v", f.RetryAfter, f)
		}
		// Others are not concerned: another host, another port, another scheme.
		for _, href := range []string{"http://well.test/", "http://dying.test:81/", "http://dying.test:443/", "http://www.dying.test/"} {
			_, err := get(t, c, href)
			hungUp.check(t, err)
		}
		if n := h.asked.Load() - asked; n != 4 {
			t.Errorf("asked %d times", n)
		}
		// The same one in other words.
		for _, href := range []string{"http://dying.test:80/", "http://user:pass@dying.test/x?y"} {
			_, err := get(t, c, href)
			openAfter.check(t, err)
		}
		// Half open: the probe fails, now by silence, and it goes on in that one's words.
		time.Sleep(6 * time.Second)
		h.does(silent)
		ask(t, c, timedOut)
		if f := ask(t, c, openTimeout); f.RetryAfter != 10*time.Second {
			t.Errorf("retry after %v", f.RetryAfter)
		}
		time.Sleep(10 * time.Second)
		if got := seen.take(); got != nil || c.Stats().OpenCircuits != 1 {
			t.Errorf("changes %v", got)
		}
		// The next probe is answered.
		h.does(good)
		ask(t, c, want{})
		ask(t, c, want{})
		if got := seen.take(); !slices.Equal(got, []string{"closed " + dying}) || c.Stats().OpenCircuits != 0 {
			t.Errorf("changes %v", got)
		}
		// It counts from the beginning again.
		h.does(slams)
		ask(t, c, hungUp)
		ask(t, c, hungUp)
		if c.Stats().OpenCircuits != 0 {
			t.Error("open too early")
		}
	})
}

// When the time is over, one request tries, and the others are refused until it is back. One that its own caller calls
// off tells nothing: the next one tries.
func TestBreakerProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, seen := newHost(t)
		h.does(slams)
		for range 3 {
			ask(t, c, hungUp)
		}
		time.Sleep(10 * time.Second)
		asked := h.asked.Load()
		h.does(silent)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.Fetch(ctx, Request{Href: dying + "/", Absolute: true})
			done <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if f := ask(t, c, openAfter); f.RetryAfter != time.Second {
					t.Errorf("retry after %v", f.RetryAfter)
				}
			})
		}
		wg.Wait()
		if n := h.asked.Load() - asked; n != 1 || c.Stats().OpenCircuits != 1 {
			t.Errorf("%d requests try", n)
		}
		cancel()
		checkCanceled(t, <-done)
		h.does(good)
		ask(t, c, want{})
		if got := seen.take(); !slices.Equal(got, []string{"open " + dying, "closed " + dying}) {
			t.Errorf("changes %v", got)
		}
	})
}

// Neither a caller who leaves nor one whose time is over says anything about the host.
func TestBreakerCallersGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, _ := newHost(t)
		h.does(silent)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := c.Fetch(ctx, Request{Href: dying + "/", Absolute: true}); err == nil {
				t.Error("no failure")
			}
			cancel()
		}
		if n := c.Stats().OpenCircuits; n != 0 {
			t.Error("callers opened a circuit")
		}
	})
}

// Requests that are out when the circuit opens do not keep it open, and one that is answered closes it.
func TestBreakerInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, seen := newHost(t)
		h.does(func(w io.Writer, line string) {
			var after time.Duration
			fmt.Sscanf(line, "GET /%d", &after)
			time.Sleep(after * time.Second)
			if after == 5 {
				good(w, line)
				return
			}
			slams(w, line)
		})
		var wg sync.WaitGroup
		for _, after := range []int{1, 1, 1, 2, 3, 5} {
			wg.Go(func() { get(t, c, fmt.Sprintf("%s/%d", dying, after)) })
		}
		time.Sleep(4 * time.Second)
		// Opened after one second, and not later.
		if f := ask(t, c, openAfter); f.RetryAfter != 7*time.Second {
			t.Errorf("retry after %v", f.RetryAfter)
		}
		wg.Wait()
		if got := seen.take(); !slices.Equal(got, []string{"open " + dying, "closed " + dying}) || c.Stats().OpenCircuits != 0 {
			t.Errorf("changes %v", got)
		}
	})
}

// Relative hrefs have the breaker too, in their own words; a host is the same for both.
func TestBreakerServerOrigin(t *testing.T) {
	var asked atomic.Int32
	base := newRawServer(t, func(net.Conn, string) { asked.Add(1) })
	c := newTestClient(t, func(o *Options) {
		o.Origins = []string{base + "/prefix"}
		o.Breaker = BreakerOptions{Failures: 2, OpenFor: time.Hour}
	})
	for range 2 {
		_, err := c.Fetch(t.Context(), Request{Href: "/a.png"})
		want{status: 502, text: failure.TextUpstreamInvalid, reason: "origin_connection", retryable: true}.check(t, err)
	}
	_, err := c.Fetch(t.Context(), Request{Href: "/b.png"})
	want{status: 502, text: failure.TextUpstreamInvalid, reason: "origin_circuit_open"}.check(t, err)
	_, err = get(t, c, base+"/")
	openAfter.check(t, err)
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
	// A redirect that leads there is refused there.
	other := newTestServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, base+"/", http.StatusFound) })
	_, err = get(t, c, other.URL+"/")
	openAfter.check(t, err)
}

// A breaker that is off never refuses.
func TestBreakerOff(t *testing.T) {
	var asked atomic.Int32
	base := newRawServer(t, func(net.Conn, string) { asked.Add(1) })
	c := newTestClient(t, nil)
	for range 50 {
		_, err := get(t, c, base+"/")
		hungUp.check(t, err)
	}
	if asked.Load() != 50 || c.Stats() != (Stats{}) {
		t.Errorf("asked %d times, %+v", asked.Load(), c.Stats())
	}
}

// Healthy origins are not remembered, and of the others only so many, and not for ever.
func TestBreakerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &changes{}
		b, err := newBreaker(BreakerOptions{Failures: 2, OpenFor: 10 * time.Second, OnChange: seen.add})
		if err != nil {
			t.Fatal(err)
		}
		bad := &failure.Error{Status: 502}
		ask := func(origin string, v verdict) bool {
			p, open := b.enter(origin)
			if p != nil {
				b.leave(p, v, bad)
			}
			return open != nil
		}
		for i := range 5000 {
			ask(fmt.Sprintf("http://%d.well", i), answered)
			ask(fmt.Sprintf("http://%d.odd", i), undecided)
		}
		if len(b.circuits) != 0 {
			t.Errorf("%d healthy origins are remembered", len(b.circuits))
		}
		ask("http://open", dead)
		ask("http://open", dead)
		for i := range 3 * maxCircuits {
			time.Sleep(time.Millisecond)
			ask(fmt.Sprintf("http://%d.test", i), dead)
			if len(b.circuits) > maxCircuits {
				t.Fatalf("%d circuits", len(b.circuits))
			}
			if !ask("http://open", dead) { // its use keeps it
				t.Fatal("an open circuit that is in use was forgotten")
			}
		}
		if b.circuits["http://0.test"] != nil || b.circuits[fmt.Sprintf("http://%d.test", 3*maxCircuits-1)] == nil {
			t.Error("the wrong ones were forgotten")
		}
		open := b.openCircuits()
		seen.take()
		time.Sleep(forgetAfter + time.Second)
		if n := b.openCircuits(); n != 0 || len(b.circuits) != 0 || len(seen.take()) != open {
			t.Errorf("%d circuits are never forgotten", n)
		}
		// A probe that comes back after its circuit was forgotten is of no consequence.
		ask("http://late", dead)
		ask("http://late", dead)
		time.Sleep(11 * time.Second)
		late, _ := b.enter("http://late")
		time.Sleep(forgetAfter + time.Second)
		b.openCircuits()
		b.leave(late, dead, bad)
		if ask("http://late", answered) {
			t.Error("open after one failure")
		}
	})
}

// The hook may ask for the state of the client.
func TestBreakerHook(t *testing.T) {
	base := newRawServer(t, func(net.Conn, string) {})
	var c *Client
	open := -1
	c = newTestClient(t, func(o *Options) {
		o.Breaker = BreakerOptions{Failures: 1, OpenFor: time.Hour, OnChange: func(origin string, isOpen bool) {
			if open = c.Stats().OpenCircuits; origin != base || !isOpen {
				t.Errorf("%s, %v", origin, isOpen)
			}
		}}
	})
	_, err := get(t, c, base+"/")
	if hungUp.check(t, err); open != 1 {
		t.Errorf("%d open", open)
	}
}

// Many at once, for the race detector: no more get through than may.
func TestBreakerParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, _ := newHost(t)
		h.does(slams)
		for range 3 {
			ask(t, c, hungUp)
		}
		for range 5 {
			asked := h.asked.Load()
			time.Sleep(10 * time.Second)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { get(t, c, dying+"/") })
			}
			wg.Wait()
			if n := h.asked.Load() - asked; n != 1 {
				t.Errorf("%d got through", n)
			}
		}
	})
}

func TestBreakerInvalid(t *testing.T) {
	for named, o := range map[string]BreakerOptions{"-1 failures": {Failures: -1, OpenFor: time.Second}, "open for 0s": {Failures: 1}, "open for -1ns": {Failures: 1, OpenFor: -1}} {
		if _, err := New(Options{Timeout: time.Second, MaxBody: 1, Breaker: o}); err == nil || !strings.Contains(err.Error(), named) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestOriginOf(t *testing.T) {
	for in, origin := range map[[2]string]string{
		{"http", "a.test"}: "http://a.test", {"http", "a.test:80"}: "http://a.test", {"https", "a.test:443"}: "https://a.test", {"HTTP", "A.Test:80"}: "http://a.test",
		{"http", "a.test:443"}: "http://a.test:443", {"https", "a.test:80"}: "https://a.test:80", {"http", "a.test:8080"}: "http://a.test:8080", {"http", "a.test:"}: "http://a.test",
		{"http", "[::1]"}: "http://[::1]", {"http", "[::1]:80"}: "http://[::1]", {"http", "[::1]:81"}: "http://[::1]:81", {"http", "[2001:db8::80]"}: "http://[2001:db8::80]",
	} {
		if got := originOf(in[0], in[1]); got != origin {
			t.Errorf("%v: %s, want %s", in, got, origin)
		}
	}
}

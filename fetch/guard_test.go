package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

func TestGuardTable(t *testing.T) {
	var refused, stricter int
	for _, row := range golden[[2]json.RawMessage](t, "address.json") {
		var text string
		var next bool
		if err := errors.Join(json.Unmarshal(row[0], &text), json.Unmarshal(row[1], &next)); err != nil {
			t.Fatal(err)
		}
		addr := netip.MustParseAddr(text)
		err := addressRules(nil).check("", addr)
		if next {
			refused++
		}
		switch {
		case next && err == nil:
			t.Errorf("%v: allowed, Next.js refuses it", addr)
		case !next && err != nil:
			// Stricter on purpose, but only for IPv6 that nobody reaches over the internet.
			stricter++
			if addr.Unmap().Is4() || netip.MustParsePrefix("2000::/3").Contains(addr) && !netip.MustParsePrefix("3fff::/20").Contains(addr) {
				t.Errorf("%v: refused (%v), Next.js allows it", addr, err)
			}
		}
	}
	if refused < 200 || stricter == 0 {
		t.Errorf("the table has %d refused addresses and %d that only we refuse: too weak", refused, stricter)
	}
}

func TestCheckSocket(t *testing.T) {
	for address, ok := range map[string]bool{
		"93.184.216.34:80": true, "[2606:2800:220:1:248:1893:25c8:1946]:443": true, "[::ffff:8.8.8.8]:80": true,
		"127.0.0.1:80": false, "[::1]:80": false, "[::ffff:10.0.0.1]:80": false, "[fe80::1%eth0]:80": false, "169.254.169.254:80": false,
		"localhost:80": false, "": false,
	} {
		if err := addressRules(nil).checkSocket("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The socket is checked even if everything before it was fooled.
func TestGuardChecksTheSocket(t *testing.T) {
	s := newTestServer(t, func(http.ResponseWriter, *http.Request) {})
	_, err := newGuard(nil, nil).connect(t.Context(), "tcp", s.Listener.Addr().String())
	var blocked *BlockedError
	if !errors.As(err, &blocked) || blocked.Addr.String() != "127.0.0.1" {
		t.Errorf("connect to loopback: %v", err)
	}
}

// fakeResolver answers each lookup of a name with the next of its answers.
type fakeResolver struct {
	mu      sync.Mutex
	answers map[string][][]netip.Addr
	err     error
	lookups int
}

func (f *fakeResolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups++
	if f.err != nil {
		return nil, f.err
	}
	answers := f.answers[host]
	if len(answers) == 0 || network != "ip" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		f.answers[host] = answers[1:]
	}
	return answers[0], nil
}

const publicAddr = "93.184.216.34"

// newGuardedClient returns a client with the address guard on. Connections to publicAddr end at s.
func newGuardedClient(t *testing.T, r Resolver, s string) *Client {
	c := newTestClient(t, func(o *Options) { o.AllowLocalIP, o.Resolver = false, r })
	g := newGuard(nil, r)
	real := g.connect
	g.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(address); host == publicAddr {
			return plainDial(ctx, network, s)
		}
		return real(ctx, network, address)
	}
	c.upstream.DialContext = c.ownedDial(g.DialContext)
	return c
}

func TestGuard(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		w.Write([]byte("image"))
	})
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	answers := map[string][][]netip.Addr{
		"public.test":   {addrs(publicAddr)},
		"mapped.test":   {addrs("::ffff:" + publicAddr)},
		"private.test":  {addrs("10.0.0.1")},
		"loopback.test": {addrs("::ffff:127.0.0.1")},
		"first.test":    {addrs("192.168.0.1", publicAddr)},
		"last.test":     {addrs(publicAddr, "::1")},
		"empty.test":    {{}},
	}
	blocked := want{status: 400, text: failure.TextNotAllowed, reason: "upstream_address"}
	unknown := want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_host"}
	for _, tt := range []struct {
		href string
		want want
	}{
		{"http://public.test" + port + "/", want{}},
		{"http://mapped.test" + port + "/", want{}},
		{"http://" + publicAddr + port + "/", want{}},
		{"http://public.test" + port + "/?to=http://public.test" + port + "/x", want{}},
		{"http://private.test" + port + "/", blocked},
		{"http://loopback.test" + port + "/", blocked},
		{"http://first.test" + port + "/", blocked},
		{"http://last.test" + port + "/", blocked},
		{"http://127.0.0.1" + port + "/", blocked},
		{"http://[::1]" + port + "/", blocked},
		{"http://[::ffff:127.0.0.1]" + port + "/", blocked},
		{"http://0.0.0.0" + port + "/", blocked},
		{"http://[::]" + port + "/", blocked},
		{"https://169.254.169.254/latest/meta-data/", blocked},
		{"http://public.test" + port + "/?to=" + s.URL, blocked},
		{"http://public.test" + port + "/?to=http://private.test/", blocked},
		{"http://public.test" + port + "/?to=http://2130706433/", blocked},
		{"http://unknown.test" + port + "/", unknown},
		{"http://empty.test" + port + "/", unknown},
	} {
		c := newGuardedClient(t, &fakeResolver{answers: answers}, s.Listener.Addr().String())
		src, err := c.Fetch(t.Context(), Request{Href: tt.href, Absolute: true})
		if tt.want == (want{}) {
			if err != nil || string(src.Body) != "image" {
				t.Errorf("%s: %v", tt.href, err)
			}
			continue
		}
		f := tt.want.check(t, err)
		var b *BlockedError
		if tt.want == blocked && (!errors.As(f, &b) || !strings.Contains(b.Error(), "not public") || b.Unwrap() == nil) {
			t.Errorf("%s: cause %v", tt.href, f.Cause)
		}
	}
}

// A name that turns private after it was checked is connected to where it was checked, or not at all.
func TestGuardRebinding(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.Write([]byte("image"))
	})
	r := &fakeResolver{answers: map[string][][]netip.Addr{"rebind.test": {addrs(publicAddr), addrs("127.0.0.1")}}}
	c := newGuardedClient(t, r, s.Listener.Addr().String())
	href := "http://rebind.test" + s.URL[strings.LastIndexByte(s.URL, ':'):] + "/"
	if _, err := c.Fetch(t.Context(), Request{Href: href, Absolute: true}); err != nil {
		t.Fatal(err)
	}
	if r.lookups != 1 {
		t.Errorf("%d lookups for one connection", r.lookups)
	}
	_, err := c.Fetch(t.Context(), Request{Href: href, Absolute: true})
	want{status: 400, text: failure.TextNotAllowed, reason: "upstream_address"}.check(t, err)
}

func TestResolverFailure(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want want
	}{
		{&net.DNSError{Err: "no such host", IsNotFound: true}, want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_host"}},
		{&net.DNSError{Err: "server misbehaving", IsTemporary: true}, want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_connection", retryable: true}},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_timeout", retryable: true, timeout: true}},
	} {
		c := newTestClient(t, func(o *Options) { o.AllowLocalIP, o.Resolver = false, &fakeResolver{err: tt.err} })
		_, err := c.Fetch(t.Context(), Request{Href: "http://example.test/", Absolute: true})
		tt.want.check(t, err)
	}
}

// closeCounter is a connection that only counts.
type closeCounter struct {
	net.Conn
	name   string
	closed *[]string
}

func (c closeCounter) Close() error {
	*c.closed = append(*c.closed, c.name)
	return nil
}

func TestRace(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name     string
		takes    []time.Duration // negative: refuses after that time
		deaf     bool            // attempts do not notice that they are no longer wanted
		winner   string
		after    time.Duration
		attempts int
		closed   []string
	}{
		{name: "first", takes: []time.Duration{100 * time.Millisecond, 0}, winner: "0", after: 100 * time.Millisecond, attempts: 1},
		{name: "second refused, first slow", takes: []time.Duration{400 * time.Millisecond, -10 * time.Millisecond}, winner: "0", after: 400 * time.Millisecond, attempts: 2},
		{name: "first hangs", takes: []time.Duration{time.Hour, 10 * time.Millisecond}, winner: "1", after: 260 * time.Millisecond, attempts: 2},
		{name: "first refuses", takes: []time.Duration{-10 * time.Millisecond, 10 * time.Millisecond, 0}, winner: "1", after: 20 * time.Millisecond, attempts: 2},
		{name: "a new head start after a refusal", takes: []time.Duration{-100 * time.Millisecond, time.Hour, 0}, winner: "2", after: 350 * time.Millisecond, attempts: 3},
		{name: "two hang", takes: []time.Duration{time.Hour, time.Hour, 0}, winner: "2", after: 500 * time.Millisecond, attempts: 3},
		{name: "all refuse", takes: []time.Duration{-1, -1, -1}, after: 3, attempts: 3},
		{name: "late winner is closed", takes: []time.Duration{300 * time.Millisecond, 10 * time.Millisecond}, deaf: true, winner: "1", after: 300 * time.Millisecond, attempts: 2, closed: []string{"0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var attempts int
				var closed, targets []string
				g := &guard{connect: func(ctx context.Context, _, target string) (net.Conn, error) {
					mu.Lock()
					takes := tt.takes[attempts]
					attempts++
					mu.Unlock()
					done := ctx.Done()
					if tt.deaf {
						done = nil
					}
					select {
					case <-time.After(max(takes, -takes)):
					case <-done:
						return nil, ctx.Err()
					}
					if takes < 0 {
						return nil, fmt.Errorf("%s: %w", target, refused)
					}
					return closeCounter{name: target, closed: &closed}, nil
				}}
				for i := range tt.takes {
					targets = append(targets, fmt.Sprint(i))
				}
				begin := time.Now()
				conn, err := g.race(t.Context(), "tcp", targets)
				if took := time.Since(begin); took != tt.after || attempts != tt.attempts {
					t.Errorf("took %v and %d attempts, want %v and %d", took, attempts, tt.after, tt.attempts)
				}
				if tt.winner == "" {
					if !errors.Is(err, refused) || !strings.HasPrefix(err.Error(), "0:") {
						t.Errorf("error %v, want that of the first", err)
					}
				} else if err != nil || conn.(closeCounter).name != tt.winner {
					t.Errorf("got %v, %v, want %s", conn, err, tt.winner)
				}
				if !slices.Equal(closed, tt.closed) {
					t.Errorf("closed %v, want %v", closed, tt.closed)
				}
			})
		})
	}
}

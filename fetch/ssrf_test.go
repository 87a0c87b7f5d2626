package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/validate"
)

// canary is a server on every address of this machine that must not see a connection.
type canary struct {
	port string
	seen atomic.Int32
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.seen.Add(1)
			serving.Go(func() {
				conn.Read(make([]byte, 4096))
				conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret"))
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return c
}

// names is a resolver: each look-up of a name gets the next of its answers, "," stands between addresses.
type names struct {
	mu      sync.Mutex
	answers map[string][]string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.answers[strings.TrimSuffix(host, ".")]
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	for s := range strings.SplitSeq(list[0], ",") {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs, nil
}

// everything allows every url that Next.js can be told to allow.
func everything(t testing.TB) *validate.Rules {
	t.Helper()
	rules, err := validate.Compile(validate.Options{DeviceSizes: []int{640}, Qualities: []int{75}, RemotePatterns: []validate.RemotePattern{{Hostname: new("**")}}})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// request is what becomes of a url parameter.
func request(rules *validate.Rules, param string) (fetch.Request, error) {
	p, err := rules.Check("w=640&q=75&url="+url.QueryEscape(param), "image/webp")
	return fetch.Request{Href: p.Href, Absolute: p.Absolute}, err
}

func newNames() *names {
	return &names{answers: map[string][]string{
		"localhost":                {"127.0.0.1"},
		"private.test":             {"10.0.0.1"},
		"loopback.test":            {"127.0.0.1"},
		"loopback6.test":           {"::1"},
		"mapped.test":              {"::ffff:127.0.0.1"},
		"nat64.test":               {"64:ff9b::7f00:1"},
		"zone.test":                {"fe80::1%lo"},
		"metadata.test":            {"169.254.169.254"},
		"metadata.google.internal": {"169.254.169.254"},
		"unspecified.test":         {"0.0.0.0"},
		"first.test":               {"127.0.0.1,93.184.216.34"},
		"middle.test":              {"93.184.216.34,::1,93.184.216.35"},
		"last.test":                {"93.184.216.34,2606:2800:220:1:248:1893:25c8:1946,192.168.0.1"},
		"127.0.0.1.nip.test":       {"127.0.0.1"},
	}}
}

func newClient(t *testing.T, change func(*fetch.Options)) *fetch.Client {
	t.Helper()
	o := fetch.Options{Timeout: 10 * time.Second, MaxBody: 1000, MaxRedirects: 3, Resolver: newNames()}
	if change != nil {
		change(&o)
	}
	c, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// outcome is what the client would see, and its reason.
func outcome(err error) string {
	var f *failure.Error
	if !errors.As(err, &f) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s (%d): %s", f.Reason, f.Status, f.Text)
}

// Every known way to name an address that is not public is refused, between the query of a request and the socket, and
// nothing is connected to.
func TestSSRF(t *testing.T) {
	rules, guarded := everything(t), newClient(t, nil)
	open := newClient(t, func(o *fetch.Options) { o.AllowLocalIP = true })
	watch := newCanary(t)
	for _, b := range bypasses {
		param := strings.ReplaceAll(b.url, "PORT", watch.port)
		r, err := request(rules, param)
		if err == nil {
			_, err = guarded.Fetch(t.Context(), r)
		}
		if got := outcome(err); !strings.Contains(b.outcome+"|", got+"|") {
			t.Errorf("%s (%s): %s, want %s", b.url, r.Href, got, b.outcome)
		}
		if n := watch.seen.Load(); n != 0 {
			t.Fatalf("%s: %d connections to the canary", b.url, n)
		}
		// The row is worth its place: without the guard this one gets there.
		if b.local {
			if src, err := open.Fetch(t.Context(), r); err != nil || string(src.Body) != "secret" {
				t.Errorf("%s (%s): does not lead to the canary: %v", b.url, r.Href, err)
			}
			watch.seen.Store(0)
		}
	}
}

// As the target of a redirect they get no further, whatever of them a Location header can carry. The server that
// redirects is let through by an entry of the allow-list.
func TestSSRFRedirect(t *testing.T) {
	watch := newCanary(t)
	l, err := net.Listen("tcp", "127.0.0.77:0")
	if err != nil {
		t.Fatal(err)
	}
	var location string
	redirecting := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = []string{location}
		w.WriteHeader(http.StatusFound)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { redirecting.Serve(l) })
	t.Cleanup(func() {
		redirecting.Close()
		serving.Wait()
	})
	c := newClient(t, func(o *fetch.Options) { o.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.77/32")} })
	refused := 0
	for _, b := range bypasses {
		location = strings.NewReplacer("PORT", watch.port, "\n", "", "\t", "").Replace(b.url)
		_, err := c.Fetch(t.Context(), fetch.Request{Href: "http://" + l.Addr().String() + "/", Absolute: true})
		got := outcome(err)
		if got == private {
			refused++
		}
		if err == nil || b.outcome == private && got != private && !beyondASCII(b.url) && !isRelative(b.url) {
			t.Errorf("%s: %s, want %s", b.url, got, b.outcome)
		}
		if n := watch.seen.Load(); n != 0 {
			t.Fatalf("%s: %d connections to the canary", b.url, n)
		}
	}
	if refused < 80 {
		t.Errorf("only %d were refused for their address", refused)
	}
}

// beyondASCII tells urls that do not survive a Location header as they are: its bytes are read as Latin-1.
func beyondASCII(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// isRelative tells urls that stay where they are, if the one they are relative to has the same scheme.
func isRelative(s string) bool {
	rest, ok := strings.CutPrefix(s, "http:")
	return ok && rest[0] != '\\' && !strings.HasPrefix(rest, "//")
}

// What is listed is reached, and nothing beside it.
func TestAllowCIDRs(t *testing.T) {
	rules, watch := everything(t), newCanary(t)
	c := newClient(t, func(o *fetch.Options) {
		o.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/30"), netip.MustParsePrefix("10.1.0.0/16")}
		o.Resolver = &names{answers: map[string][]string{
			"listed.test": {"127.0.0.1"}, "mapped.test": {"::ffff:127.0.0.2"}, "both.test": {"127.0.0.1,127.0.0.2"},
			"mixed.test": {"127.0.0.1,127.0.0.9"}, "public.test": {"127.0.0.1,10.2.0.1,93.184.216.34"}, "six.test": {"127.0.0.1,::1"},
		}}
	})
	for href, got := range map[string]string{
		"http://127.0.0.1:PORT/":          "",
		"http://127.1:PORT/":              "",
		"http://0x7f000002:PORT/":         "",
		"http://[::ffff:127.0.0.3]:PORT/": "",
		"http://listed.test:PORT/":        "",
		"http://mapped.test:PORT/":        "",
		"http://both.test:PORT/":          "",
		"http://127.0.0.4:PORT/":          private,
		"http://127.0.0.9:PORT/":          private,
		"http://mixed.test:PORT/":         private,
		"http://public.test:PORT/":        private,
		"http://six.test:PORT/":           private,
		"http://[::1]:PORT/":              private,
		"http://0.0.0.0:PORT/":            private,
		"http://10.2.0.1:PORT/":           private,
		"http://169.254.169.254/":         private,
		"http://[::127.0.0.1]:PORT/":      private,
	} {
		watch.seen.Store(0)
		r, err := request(rules, strings.ReplaceAll(href, "PORT", watch.port))
		if err != nil {
			t.Fatal(err)
		}
		src, err := c.Fetch(t.Context(), r)
		if got != "" {
			if outcome(err) != got || watch.seen.Load() != 0 {
				t.Errorf("%s: %s, %d connections", href, outcome(err), watch.seen.Load())
			}
		} else if err != nil || string(src.Body) != "secret" {
			t.Errorf("%s: %v", href, err)
		}
	}
}

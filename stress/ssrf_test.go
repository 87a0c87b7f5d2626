//go:build e2e

package stress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/transform"
)

// canary listens on every address of this machine, IPv4 and IPv6. It answers with an image, so that whoever reaches it
// is served.
type canary struct {
	port  string
	calls atomic.Int64
}

func startCanary(t *testing.T, image []byte) *canary {
	t.Helper()
	c := &canary{}
	addr, server := serveHTTP(t, "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image) }))
	_, c.port, _ = net.SplitHostPort(addr)
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.calls.Add(1)
		}
	}
	return c
}

// disguises are hosts, and what may stand before and behind a host, that mean this machine to somebody. PORT is the
// canary's.
var disguises = []string{
	"http://127.0.0.1:PORT/", "http://127.0.0.1.:PORT/", "http://127.1:PORT/", "http://127.0.1:PORT/", "http://127.0.0.2:PORT/", "http://127.255.255.254:PORT/",
	"http://0177.0.0.1:PORT/", "http://0177.0.0.01:PORT/", "http://00000177.0.0.1:PORT/", "http://0x7f.0.0.1:PORT/", "http://0x7f.0x0.0x0.0x1:PORT/",
	"http://0x7f000001:PORT/", "http://0X7F000001:PORT/", "http://0x7f.1:PORT/", "http://2130706433:PORT/", "http://017700000001:PORT/", "http://127.0x1:PORT/",
	"http://0:PORT/", "http://0.0.0.0:PORT/", "http://0x0:PORT/", "http://000:PORT/", "http://0.0.0.1:PORT/",
	"http://[::1]:PORT/", "http://[0:0:0:0:0:0:0:1]:PORT/", "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/", "http://[::]:PORT/",
	"http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://[0:0:0:0:0:ffff:7f00:0001]:PORT/", "http://[::FFFF:127.0.0.1]:PORT/",
	"http://[::ffff:0.0.0.0]:PORT/", "http://[::127.0.0.1]:PORT/", "http://[::7f00:1]:PORT/", "http://[::ffff:0:127.0.0.1]:PORT/",
	"http://[64:ff9b::127.0.0.1]:PORT/", "http://[64:ff9b::7f00:1]:PORT/", "http://[64:ff9b:1::7f00:1]:PORT/", "http://[64:ff9b:1:7f00:0:100::]:PORT/",
	"http://[2002:7f00:1::]:PORT/", "http://[2002:7f00:1::1]:PORT/", "http://[2001:0:7f00:1::]:PORT/", "http://[2001:0:ffff:fffe:ffff:ffff:80ff:fffe]:PORT/",
	"http://[::1%25lo]:PORT/", "http://[::1%lo]:PORT/", "http://[fe80::1%25lo]:PORT/", "http://[fe80::1%lo]:PORT/", "http://[fe80::1]:PORT/", "http://[fec0::1]:PORT/",
	"http://localhost:PORT/", "http://LOCALHOST:PORT/", "http://localhost.:PORT/", "http://LocalHost.:PORT/", "http://ip6-localhost:PORT/", "http://a.localhost:PORT/",
	"http://%6c%6f%63%61%6c%68%6f%73%74:PORT/", "http://%31%32%37.0.0.1:PORT/", "http://127%2e0%2e0%2e1:PORT/",
	"http://127。0。0。1:PORT/", "http://127．0．0．1:PORT/", "http://127｡0｡0｡1:PORT/", "http://１２７.０.０.１:PORT/", "http://①②⑦.⓪.⓪.①:PORT/", "http://𝟏𝟐𝟕.𝟎.𝟎.𝟏:PORT/",
	"http://⓵27.0.0.1:PORT/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/", "http://ｌｏｃａｌｈｏｓｔ:PORT/", "http://local\u00adhost:PORT/", "http://local\u200bhost:PORT/", "http://loca\u2060lhost:PORT/",
	"http://0x7f。1:PORT/", "http://\u00ad127.0.0.1:PORT/",
	"http://example.com@127.0.0.1:PORT/", "http://example.com:80@127.0.0.1:PORT/", "http://example.com%40@127.0.0.1:PORT/", "http://a:b:c@127.0.0.1:PORT/",
	"http://example.com#@127.0.0.1:PORT/", "http://example.com/@127.0.0.1:PORT/", "http://127.0.0.1:PORT#@example.com/", "http://127.0.0.1:PORT?@example.com/",
	"http://127.0.0.1:PORT/@example.com/", "http://127.0.0.1:PORT\\@example.com/", "http://example.com\\@127.0.0.1:PORT/", "http:\\\\127.0.0.1:PORT\\", "http:/\\127.0.0.1:PORT/",
	"http:127.0.0.1:PORT/", "http:/127.0.0.1:PORT/", "http:///127.0.0.1:PORT/", "http:////127.0.0.1:PORT/", "HTTP://127.0.0.1:PORT/", "hTtP://127.0.0.1:PORT/",
	" http://127.0.0.1:PORT/", "\thttp://127.0.0.1:PORT/", "http://127.0.0.1:PORT/ ", "ht\ntp://127.0.0.1:PORT/", "http://127.0.\t0.1:PORT/", "http://127.0.0.1\n:PORT/",
	"http://127.0.0.1:0PORT/", "http://127.0.0.1:000000PORT/", "http://127.0.0.1: PORT/", "http://127.0.0.1:+PORT/", "http://127.0.0.1:PORT:80/", "https://127.0.0.1:PORT/",
	"http://example.com:80:PORT@127.0.0.1:PORT/", "http://127.0.0.1\x00.example.com:PORT/", "http://127.0.0.1%00.example.com:PORT/", "http://[::1]example.com:PORT/",
	"http://[::1].example.com:PORT/", "http://127.0.0.1%23.example.com:PORT/", "http://127.0.0.1\u2028:PORT/", "http://\u200e127.0.0.1:PORT/",
}

// elsewhere are addresses in networks that are nobody's business, and names that mean one in some cloud. Nothing
// answers there; they must be refused rather than tried.
var elsewhere = []string{
	"http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://169.254.43518/",
	"http://[::ffff:169.254.169.254]/", "http://[fd00:ec2::254]/", "http://[fe80::a9fe:a9fe]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/",
	"http://100.100.100.200/", "http://168.63.129.16.:1/", "http://192.0.0.192/", "http://10.0.0.1/", "http://10.1/", "http://012.1.2.3/", "http://172.16.0.1/",
	"http://172.31.255.254/", "http://192.168.0.1/", "http://192.168.257/", "http://100.64.0.1/", "http://198.18.0.1/", "http://192.0.2.1/", "http://198.51.100.1/",
	"http://203.0.113.1/", "http://224.0.0.1/", "http://240.0.0.1/", "http://255.255.255.255/", "http://4294967295/", "http://[fc00::1]/", "http://[ff02::1]/",
	"http://[2001:db8::1]/", "http://[100::1]/", "http://[3fff::1]/", "http://[5f00::1]/",
}

// redirector is an origin that may be reached: it redirects to the disguise that the query numbers, directly or by way
// of itself.
type redirector struct {
	image []byte
	port  string
}

func (r *redirector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var n int
	switch path := req.URL.Path; {
	case path == "/good.jpg":
		_, _ = w.Write(r.image)
		return
	case strings.HasPrefix(path, "/twice/"):
		w.Header().Set("Location", "/once/"+strings.TrimPrefix(path, "/twice/"))
	default:
		if _, err := fmt.Sscanf(path, "/once/%d", &n); err != nil || n >= len(disguises) {
			http.NotFound(w, req)
			return
		}
		// As bytes, not as net/http would clean them up.
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		location := strings.NewReplacer("\n", "%0a", "\x00", "%00").Replace(strings.ReplaceAll(disguises[n], "PORT", r.port))
		fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", location)
		return
	}
	w.WriteHeader(http.StatusFound)
}

// TestPrivateAddresses asks for images on this machine in every disguise, as urls and as the targets of redirects. None
// is fetched, and nothing is connected to. A service that is told to allow such addresses is the counter-check.
func TestPrivateAddresses(t *testing.T) {
	image := testImage(t, "photo-640.jpg")
	c := startCanary(t, image)
	const allowed = "127.0.0.9"
	redirects, _ := serveHTTP(t, allowed, &redirector{image: image, port: c.port})
	var direct, redirected []string
	for i, d := range disguises {
		direct = append(direct, strings.ReplaceAll(d, "PORT", c.port))
		redirected = append(redirected, fmt.Sprintf("http://%s/once/%d.jpg", redirects, i), fmt.Sprintf("http://%s/twice/%d.jpg", redirects, i), fmt.Sprintf("/once/%d.jpg", i))
	}
	if name, err := os.Hostname(); err == nil {
		direct = append(direct, "http://"+name+":"+c.port+"/", "http://"+name+".:"+c.port+"/")
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsGlobalUnicast() || ok && ip.IP.IsPrivate() {
			direct = append(direct, "http://"+net.JoinHostPort(ip.IP.String(), c.port)+"/")
		}
	}
	flags := append(small.flags(t), "--origin=http://"+redirects, anyHost, "--fetch.timeout=2s", "--timeout=5s", "--log.level=info")
	flags = append(flags, optional(t, "--fetch.breaker.failures=0", "--fetch.hostShare=1")...)

	t.Run("guarded", func(t *testing.T) {
		s := startService(t, append(flags, "--fetch.allowCIDRs="+allowed+"/32")...)
		if a, err := get(s.image("http://"+redirects+"/good.jpg", 64)); err != nil || a.status != http.StatusOK {
			t.Fatalf("an address that is allowed: %v %v", a, err)
		}
		counts := askAll(t, s, append(append(direct, elsewhere...), redirected...), func(href string, a *answer) {
			if a.status == http.StatusOK || strings.HasPrefix(a.header.Get("Content-Type"), "image/") || len(a.body) > 200 {
				t.Errorf("%q: %v", href, a)
			}
		})
		t.Logf("%d urls, answered %v", len(direct)+len(elsewhere)+len(redirected), counts)
		if n := c.calls.Load(); n != 0 {
			t.Errorf("%d connections to this machine", n)
		}
		s.mustRun(t)
	})
	t.Run("allowed", func(t *testing.T) {
		s := startService(t, append(flags, "--images.dangerouslyAllowLocalIP")...)
		reached := map[bool]int{}
		askAll(t, s, append(direct, redirected...), func(href string, a *answer) {
			if a.status == http.StatusOK && a.header.Get("Content-Type") == transform.JPEG {
				reached[strings.Contains(href, c.port)]++
			}
		})
		t.Logf("without the guard %d urls and %d redirects reach this machine", reached[true], reached[false])
		if reached[true] < 30 || reached[false] < 30 {
			t.Error("so few are no test of the guard")
		}
	})
}

// askAll asks for every url, some at a time, and counts the statuses.
func askAll(t *testing.T, s *service, hrefs []string, look func(href string, a *answer)) map[int]int {
	t.Helper()
	client := newClient(t, 16, patience)
	queue := make(chan string)
	counts := map[int]int{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range 16 {
		asking.Go(func() {
			for href := range queue {
				asked := time.Now()
				a, err := ask(context.Background(), client, s.image(href, 64))
				if err != nil {
					t.Errorf("%q: %v", href, err)
					continue
				}
				mu.Lock()
				counts[a.status]++
				look(href, a)
				mu.Unlock()
				if took := time.Since(asked); took > 6*time.Second {
					t.Errorf("%q: answered after %v", href, took)
				}
			}
		})
	}
	for _, href := range hrefs {
		queue <- href
	}
	close(queue)
	asking.Wait()
	client.CloseIdleConnections()
	return counts
}

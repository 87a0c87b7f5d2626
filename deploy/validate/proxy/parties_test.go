package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/deploy/validate/internal/lab"
)

// frontend is the application: it serves one image, and says of everything else that it was asked.
type frontend struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // METHOD target
}

func newFrontend(t *testing.T) *frontend {
	t.Helper()
	image, err := os.ReadFile(filepath.Join(lab.Root(t), "testdata", "images", "64x64.png"))
	if err != nil {
		t.Fatal(err)
	}
	f := &frontend{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.RequestURI)
		f.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, ".png") {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(image)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Served-By", "frontend")
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	}))
	quiet(f.Server)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// asked returns what the application was asked for that contains part.
func (f *frontend) asked(part string) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.seen {
		if strings.Contains(s, part) {
			all = append(all, s)
		}
	}
	return all
}

func (f *frontend) address() string { return f.Listener.Addr().String() }

// quiet keeps connections that the tests break off from the test's output.
func quiet(s *httptest.Server) { s.Config.ErrorLog = log.New(io.Discard, "", 0) }

// scripted plays both imgopts: each has a public listener that does what the test says, and /readyz.
type scripted struct {
	p place
	// answer is called with 0 or 1, who is asked. Set it before requests are made.
	answer      [2]atomic.Pointer[http.HandlerFunc]
	unready     [2]atomic.Bool
	requests    [2]atomic.Int64
	connections [2]atomic.Int64
	servers     [2]*http.Server
	listeners   [2]net.Listener
}

var hosts = [2]string{"127.0.0.1", "127.0.0.2"}

func newScripted(t *testing.T, frontend string) *scripted {
	t.Helper()
	s := &scripted{p: place{frontend: frontend, imgoptPort: lab.FreePort(t), imgoptA: lab.FreePort(t)}}
	for i, host := range hosts {
		s.script(i, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "imgopt %d", i) })
		serve := func(port string, h http.Handler, state func(net.Conn, http.ConnState)) (*http.Server, net.Listener) {
			l, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), IdleTimeout: 75 * time.Second, ConnState: state, MaxHeaderBytes: 32 << 10}
			var done sync.WaitGroup
			done.Go(func() { _ = server.Serve(l) })
			t.Cleanup(func() {
				_ = server.Close()
				done.Wait()
			})
			return server, l
		}
		s.servers[i], s.listeners[i] = serve(s.p.imgoptPort, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.requests[i].Add(1)
			(*s.answer[i].Load())(w, r)
		}), func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections[i].Add(1)
			}
		})
		serve(s.p.imgoptA, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" || s.unready[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}), nil)
	}
	return s
}

// script says what imgopt i answers.
func (s *scripted) script(i int, h http.HandlerFunc) { s.answer[i].Store(&h) }

// both scripts both.
func (s *scripted) both(h http.HandlerFunc) {
	s.script(0, h)
	s.script(1, h)
}

func (s *scripted) total() int64 { return s.requests[0].Load() + s.requests[1].Load() }

// stop closes imgopt i, with its connections.
func (s *scripted) stop(i int) { _ = s.servers[i].Close() }

// startImgopts runs two real ones and waits until they are ready.
func startImgopts(t *testing.T, f *frontend, basePath string) (place, [2]*lab.Process) {
	t.Helper()
	program := lab.Imgopt(t)
	p := place{frontend: f.address(), imgoptPort: lab.FreePort(t), imgoptA: lab.FreePort(t), basePath: basePath}
	var processes [2]*lab.Process
	for i, host := range hosts {
		processes[i] = lab.Start(t, []string{"TMPDIR=" + t.TempDir()}, program, "serve", "--origin", f.URL, "--basePath", basePath,
			"--listen", host+":"+p.imgoptPort, "--adminListen", host+":"+p.imgoptA, "--transform.workers=1", "--log.access=false")
	}
	for i, host := range hosts {
		lab.Ready(t, processes[i], "http://"+host+":"+p.imgoptA+"/readyz")
	}
	return p, processes
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with exactly this target, on a connection of its own unless it has a client.
func ask(t *testing.T, address, method, target string, header ...string) answer {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, lab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(lab.Patience))
	body := ""
	if method == http.MethodPost || method == http.MethodPut {
		body = "sent along"
		header = append(header, "Content-Length", fmt.Sprint(len(body)))
	}
	request := method + " " + target + " HTTP/1.1\r\nHost: shop.example:8443\r\nConnection: close\r\n"
	for i := 0; i < len(header); i += 2 {
		request += header[i] + ": " + header[i+1] + "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %.100s: %v", method, target, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %.100s: reading the body: %v", method, target, err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

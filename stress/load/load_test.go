package load

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func run(t *testing.T, plan Plan) []ClassResult {
	t.Helper()
	r, err := Run(plan)
	if err != nil {
		t.Fatal(err)
	}
	return r.Classes
}

// Every kind of answer is read to its end and counted.
func TestAnswers(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	var asked atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case strings.HasPrefix(r.URL.Path, "/large"):
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			fmt.Fprint(w, large)
		case strings.HasPrefix(r.URL.Path, "/chunks"):
			for range 20 {
				fmt.Fprint(w, large[:5000])
				w.(http.Flusher).Flush()
			}
		case strings.HasPrefix(r.URL.Path, "/304"):
			w.WriteHeader(http.StatusNotModified)
		case strings.HasPrefix(r.URL.Path, "/busy"):
			if r.Header.Get("X-Polite") != "" {
				w.Header().Set("Retry-After", "1")
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "busy")
		case strings.HasPrefix(r.URL.Path, "/close"):
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, "bye")
		}
	})
	class := func(name string, length int, header ...string) Class {
		return Class{Name: name, Rate: 100, Before: "/" + name + "/", Conns: 8, Timeout: 5 * time.Second, Length: length, Header: header}
	}
	results := run(t, Plan{Addr: addr, For: 500 * time.Millisecond, Classes: []Class{
		class("large", 1<<20), class("chunks", 100_000), class("304", 0), class("busy", 0), class("busy", 0, "X-Polite: 1"), class("close", 4)}})
	const each = 50
	for i, want := range []struct{ status, length, retry int }{{200, 0, 0}, {200, 0, 0}, {304, 0, 0}, {503, 0, each}, {503, 0, 0}, {200, each, 0}} {
		r := results[i]
		if r.Due != each || r.ByStatus[want.status].N != each || r.GaveUp+r.Broken != 0 || r.WrongLength != want.length || r.NoRetryAfter != want.retry {
			t.Errorf("%s: %+v", r.Name, r)
		}
	}
	if n := results[5].Conns; n < each-8 {
		t.Errorf("%d connections, although each is closed after its answer", n)
	}
	if n := asked.Load(); n != 6*each {
		t.Errorf("%d requests arrived", n)
	}
}

// What a stalled server keeps from being sent counts from when it was due.
func TestDueTime(t *testing.T) {
	var n atomic.Int64
	addr := serve(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 1 {
			time.Sleep(400 * time.Millisecond)
		}
	})
	r := run(t, Plan{Addr: addr, For: 200 * time.Millisecond, Classes: []Class{{Name: "one", Rate: 100, Before: "/", Conns: 1, Timeout: 5 * time.Second}}})[0]
	if times := r.ByStatus[200]; times.N != 20 || times.P50 < 250*time.Millisecond || times.Max < 390*time.Millisecond {
		t.Errorf("%+v", r)
	}
	// Only the first was served slowly.
	if served := r.Served[200]; served.N != 20 || served.P50 > 100*time.Millisecond || served.Max < 390*time.Millisecond {
		t.Errorf("served: %+v", served)
	}
	if r.Waited != 19 || r.Late.P50 < 250*time.Millisecond {
		t.Errorf("waited for a connection: %d, late %+v", r.Waited, r.Late)
	}
}

// Clients leave, those without a connection included, and a server that hangs up is noticed.
func TestGaveUpAndBroken(t *testing.T) {
	release := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hang") {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { close(release) })
	results := run(t, Plan{Addr: addr, For: 300 * time.Millisecond, Classes: []Class{
		{Name: "hang", Rate: 100, Before: "/hang", Conns: 5, Timeout: 200 * time.Millisecond},
		{Name: "broken", Rate: 100, Before: "/broken", Conns: 5, Timeout: time.Second},
	}})
	if r := results[0]; r.GaveUp != 30 || r.Answers() != 0 {
		t.Errorf("%+v", r)
	}
	if r := results[1]; r.Broken != 30 || r.Why == "" {
		t.Errorf("%+v", r)
	}
}

// Nobody listens.
func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, Plan{Addr: addr, For: 100 * time.Millisecond, Classes: []Class{{Name: "refused", Rate: 100, Before: "/", Conns: 5, Timeout: time.Second}}})[0]
	if r.Broken != 10 {
		t.Errorf("%+v", r)
	}
	if _, err := Run(Plan{Addr: "nowhere"}); err == nil {
		t.Error("no error for an address that is none")
	}
	if _, err := Run(Plan{Addr: addr, Classes: []Class{{}}}); err == nil {
		t.Error("no error for an empty class")
	}
}

// The time of arrival is the kernel's, not that of reading. The kernel begins to note times a while after the first
// socket has asked for it, so the first answers may have none.
func TestArrival(t *testing.T) {
	for range 50 {
		r := readLate(t)
		if r.Answers() != 1 || r.ByStatus[200].Max < 100*time.Millisecond {
			t.Fatalf("%+v", r)
		}
		if r.Served[200].Max < 90*time.Millisecond {
			return
		}
	}
	t.Error("answers are timed when they are read")
}

// readLate has one answer wait for 100 ms before it is read.
func readLate(t *testing.T) ClassResult {
	release := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "x")
		close(release)
	})
	d, err := newDriver(Plan{Addr: addr, Classes: []Class{{Name: "one", Rate: 1, Before: "/", Conns: 1, Timeout: time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.began = time.Now()
	if err := d.connect(d.classes[0], 0); err != nil {
		t.Fatal(err)
	}
	k := d.classes[0].sent.head().conn
	if err := d.ready(k.fd); err != nil { // connected: the request is written
		t.Fatal(err)
	}
	<-release
	time.Sleep(100 * time.Millisecond) // the answer has arrived and nobody has read it
	if err := d.ready(k.fd); err != nil {
		t.Fatal(err)
	}
	return d.classes[0].result()
}

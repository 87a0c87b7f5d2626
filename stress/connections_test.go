//go:build e2e

package stress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// slowWriters send requests that never end.
const slowWriters = 300

// cutWithin is when the service has hung up on a client that does not finish its request: ten seconds, and time for a
// machine that is busy.
const cutWithin = 15 * time.Second

// TestSlowWriters has many clients begin a request and not end it: some stop, some send a byte now and then. Others are
// served as ever, and the service hangs up on each in time.
func TestSlowWriters(t *testing.T) {
	s, before := oneImage(t)
	began := time.Now()
	var clients sync.WaitGroup
	for i := range slowWriters {
		clients.Go(func() {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Errorf("connecting: %v", err)
				return
			}
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: slow.test\r\nX-Header: ", path("/photo/hit.jpg", 64)); err != nil {
				t.Errorf("writing: %v", err)
				return
			}
			if i%2 == 0 {
				// What is written fails once the service has hung up; so does reading, which ends first.
				stop := make(chan struct{})
				defer close(stop)
				clients.Go(func() { drip(conn, stop) })
			}
			if err := conn.SetReadDeadline(began.Add(cutWithin)); err != nil {
				t.Errorf("setting a deadline: %v", err)
			}
			answer, err := io.ReadAll(conn)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("a request that does not end is still waited for after %v (%q)", cutWithin, answer)
			}
		})
	}
	for range 50 {
		mustHit(t, s)
		time.Sleep(20 * time.Millisecond)
	}
	clients.Wait()
	mustHit(t, s)
	s.mustRun(t)
	s.descriptorsBack(t, before)
}

// drip writes a byte five times a second.
func drip(w io.Writer, stop <-chan struct{}) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
		}
	}
}

// TestNoDescriptors takes away the descriptors of a service at work and has more connections come than it can have.
// Whoever is connected is served, probes are answered, and new images are made again when the descriptors are back.
func TestNoDescriptors(t *testing.T) {
	s, before := oneImage(t)
	connected := newClient(t, 1, patience)
	if a, err := ask(context.Background(), connected, s.image("/photo/hit.jpg", 64), "Accept", acceptWebP); err != nil || a.status != http.StatusOK {
		t.Fatalf("before: %v %v", a, err)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(s.PID(), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatalf("reading the limit of descriptors: %v", err)
	}
	set := func(n uint64) {
		t.Helper()
		if err := unix.Prlimit(s.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: limit.Max}, nil); err != nil {
			t.Fatalf("limiting descriptors to %d: %v", n, err)
		}
	}
	const few = 20
	set(uint64(before.descriptors) + few)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range 4 * few {
		c, err := net.Dial("tcp", s.addr) // the kernel accepts what the service cannot
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	// A codec process dies and cannot be replaced now.
	if err := syscall.Kill(s.children()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		a, err := ask(context.Background(), connected, s.image("/photo/hit.jpg", 64), "Accept", acceptWebP)
		if err != nil || a.status != http.StatusOK {
			t.Errorf("whoever is connected: %v %v", a, err)
		}
		if a, err := get("http://" + s.admin + "/healthz"); err != nil || a.status != http.StatusOK {
			t.Errorf("a probe: %v %v", a, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s.metrics(t).sum("imgopt_listener_accept_errors_total") == 0 {
		t.Error("the service had descriptors enough: nothing was tested")
	}
	set(limit.Cur)
	for _, c := range conns {
		_ = c.Close()
	}
	conns = nil
	eventually(t, "new images are made again, by as many codecs as before", func() bool {
		a, err := get(s.image(fmt.Sprintf("/photo/%d.jpg", time.Now().UnixNano()), 64), "Accept", acceptWebP)
		return err == nil && a.status == http.StatusOK && a.header.Get("Content-Type") == transform.WebP && s.codecsRunning() == int(small.Workers)
	})
	s.mustRun(t)
	connected.CloseIdleConnections()
	s.descriptorsBack(t, before)
}

// TestTooManyConnections opens more connections than are allowed. Who is connected is served, the others are told, and
// when they have gone everybody is served.
func TestTooManyConnections(t *testing.T) {
	const allowed = 128
	s, before := oneImage(t, fmt.Sprintf("--maxConnections=%d", allowed))
	connected := newClient(t, 1, patience)
	hit := func() (*answer, error) {
		return ask(context.Background(), connected, s.image("/photo/hit.jpg", 64), "Accept", acceptWebP)
	}
	if a, err := hit(); err != nil || a.status != http.StatusOK {
		t.Fatalf("before: %v %v", a, err)
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range 3 * allowed {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if a, err := hit(); err != nil || a.status != http.StatusOK {
		t.Errorf("whoever is connected: %v %v", a, err)
	}
	if a, err := get(s.image("/photo/hit.jpg", 64)); err != nil || a.status != http.StatusServiceUnavailable {
		t.Errorf("one connection too many: %v %v", a, err)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	conns = nil
	eventually(t, "everybody is served again", func() bool {
		a, err := get(s.image("/photo/hit.jpg", 64), "Accept", acceptWebP)
		return err == nil && a.status == http.StatusOK
	})
	s.mustRun(t)
	connected.CloseIdleConnections()
	s.descriptorsBack(t, before)
}

// oneImage starts a service that has made one image, /photo/hit.jpg.
func oneImage(t *testing.T, flags ...string) (*service, resting) {
	t.Helper()
	o := startOrigin(t, "127.0.0.1")
	o.put("photo", served{body: testImage(t, "photo-640.jpg")})
	s := startService(t, append(append(small.flags(t), "--origin=http://"+o.addr, "--log.level=info"), flags...)...)
	mustHit(t, s)
	return s, s.resting(t)
}

// mustHit asks for it.
func mustHit(t *testing.T, s *service) {
	t.Helper()
	asked := time.Now()
	a, err := get(s.image("/photo/hit.jpg", 64), "Accept", acceptWebP)
	if err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != transform.WebP {
		t.Errorf("a hit: %v %v", a, err)
	}
	if took := time.Since(asked); took > 2*time.Second {
		t.Errorf("a hit took %v", took)
	}
}

package handler

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// rawClient is a client whose descriptor is there before the process runs out of them.
type rawClient int

func newRawClient(t *testing.T) rawClient {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	return rawClient(fd)
}

// ask connects, writes a request and reads until the server closes, or only what comes first.
func (c rawClient) ask(t *testing.T, addr, raw string, all bool) string {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp4", addr)
	must(t, err)
	must(t, unix.Connect(int(c), &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}))
	_, err = unix.Write(int(c), []byte(raw))
	must(t, err)
	var out bytes.Buffer
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(int(c), buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return out.String() + err.Error()
		}
		out.Write(buf[:n])
		if n == 0 || !all {
			return out.String()
		}
	}
}

// exhaust leaves the process without descriptors until the function it returns is called.
func exhaust(t *testing.T) (free func()) {
	t.Helper()
	runtime.GC() // files that nobody closed would be closed at any time
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	lower := limit
	lower.Cur = 300
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &lower))
	var files []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			if !strings.Contains(err.Error(), "too many open files") {
				t.Error(err)
			}
			break
		}
		files = append(files, f)
	}
	freed := false
	free = func() {
		if freed {
			return
		}
		freed = true
		for _, f := range files {
			_ = f.Close()
		}
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	}
	t.Cleanup(free)
	return free
}

// Without descriptors the public listener waits, without spinning, and is counted and logged once; the admin one
// answers all the same, time and again; and both work as before once there are descriptors again.
func TestNoDescriptorsLeft(t *testing.T) {
	log := &logBuffer{}
	var publicFailed, adminFailed atomic.Int64
	public, err := New(hits(testEntry(100)), testRules(t), testOptions())
	must(t, err)
	publicAddr := serveApp(t, public, ListenOptions{Name: "public", Log: log.logger(), AcceptFailed: func() { publicFailed.Add(1) }})
	admin, err := NewAdmin(AdminOptions{Ready: NewReadiness(), Metrics: prometheus.NewRegistry()})
	must(t, err)
	adminAddr := serveApp(t, admin, ListenOptions{Name: "admin", Log: log.logger(), Spare: 2, AcceptFailed: func() { adminFailed.Add(1) }})
	// Connections that are there already go on being served.
	kept := dial(t, publicAddr)
	askKept := func() {
		t.Helper()
		_, err := kept.Write([]byte(request("GET", aJPG)))
		must(t, err)
		buf := make([]byte, 4096)
		if n, err := kept.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
			t.Errorf("a connection from before: %q, %v", buf[:n], err)
		}
	}
	askKept()
	outside := newRawClient(t)
	var clients []rawClient
	for range 8 {
		clients = append(clients, newRawClient(t))
	}
	free := exhaust(t)

	answer := make(chan string, 1)
	go func() { answer <- outside.ask(t, publicAddr, request("GET", aJPG), false) }()
	started := time.Now()
	eventually(t, func() bool { return publicFailed.Load() > 0 })
	for i, c := range clients {
		got := c.ask(t, adminAddr, request("GET", "/healthz"), true)
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "Connection: close\r\n") || !strings.HasSuffix(got, "\r\n\r\nok\n") {
			t.Errorf("probe %d: %q", i, got)
		}
	}
	askKept()
	// Each retry is one failure: at least 5 ms apart, then 10, 20, …
	if n, most := publicFailed.Load(), int64(time.Since(started)/acceptRetryMin)+2; n > most {
		t.Errorf("%d failures in %v", n, time.Since(started))
	}
	for _, name := range []string{"public", "admin"} {
		if n := strings.Count(log.String(), `level=ERROR msg="cannot accept connections" listener=`+name); n != 1 {
			t.Errorf("%s: %d lines: %s", name, n, log.String())
		}
	}
	if !strings.Contains(log.String(), "too many open files") || adminFailed.Load() == 0 {
		t.Errorf("%d failures, log: %s", adminFailed.Load(), log.String())
	}

	free() // if the public listener has not got the descriptor of a probe in the moment it was closed
	if got := <-answer; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("the one who waited: %q", got)
	}
	if got := send(t, adminAddr, request("GET", "/healthz")); got.StatusCode != 200 || got.Close {
		t.Errorf("admin afterwards: %d, close %t", got.StatusCode, got.Close)
	}
}

// failing is a listener that says there are no descriptors, a few times.
type failing struct {
	*net.TCPListener
	times int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.times--; f.times >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	return f.TCPListener.Accept()
}

// Nothing is given up for a client that is not there: accepting fails without one, too.
func TestSpareIsKept(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var failures atomic.Int64
	ln := Wrap(&failing{inner.(*net.TCPListener), 3}, ListenOptions{Spare: 1, AcceptFailed: func() { failures.Add(1) }}).(*listener)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	eventually(t, func() bool { return failures.Load() == 3 })
	ln.spare.mu.Lock()
	if n := len(ln.spare.files); n != 1 {
		t.Errorf("%d spare descriptors left", n)
	}
	ln.spare.mu.Unlock()
	_ = dial(t, inner.Addr().String())
	c := <-accepted
	if c.(*conn).borrowed {
		t.Error("a descriptor was lent that was not needed")
	}
	_, _ = c.Close(), ln.Close()
}

// A row of failures is one line at its beginning and one at its end, however often connections are accepted between.
func TestAcceptLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		inner := &scripted{closed: make(chan struct{})}
		failures := 0
		ln := Wrap(inner, ListenOptions{Name: "x", Log: log.logger(), AcceptFailed: func() { failures++ }})
		accept := func() {
			t.Helper()
			c, err := ln.Accept()
			must(t, err)
			_ = c.Close()
		}
		inner.errs = []error{unix.ECONNABORTED, nil, unix.EMFILE, unix.ENFILE, nil, unix.EMFILE, nil, nil, nil}
		accept() // in spite of a client that went away
		if s := log.String(); s != "" {
			t.Errorf("log: %s", s)
		}
		accept()
		accept()
		time.Sleep(acceptCalm - 10*time.Millisecond) // the last failure was 5 ms before it worked
		accept()
		if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "level=ERROR") {
			t.Errorf("log: %s", s)
		}
		time.Sleep(10 * time.Millisecond)
		accept()
		s := log.String()
		if strings.Count(s, "\n") != 2 || !strings.Contains(s, `msg="accepting connections again" listener=x`) || !strings.Contains(s, "failures=3") {
			t.Errorf("log: %s", s)
		}
		if failures != 4 {
			t.Errorf("%d failures were told", failures)
		}
		_ = ln.Close()
	})
}

// Spare descriptors come back, and are gone with the listener.
func TestSpare(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		n := 0
		for _, e := range entries {
			if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == os.DevNull {
				n++
			}
		}
		return n
	}
	before := count()
	s := newSpare(3)
	held := func(want int) {
		t.Helper()
		if n := count() - before; n != want {
			t.Errorf("%d spare descriptors, want %d", n, want)
		}
	}
	held(3)
	for range 2 {
		if !s.lend() {
			t.Error("none to lend")
		}
	}
	held(1)
	if !s.refill() {
		t.Error("not refilled")
	}
	held(3)
	for range 3 {
		s.lend()
	}
	if s.lend() {
		t.Error("a fourth one")
	}
	s.close()
	s.refill() // by a connection that outlives its listener
	held(0)
}

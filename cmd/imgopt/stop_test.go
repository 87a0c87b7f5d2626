package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// On SIGTERM the service takes nothing new, says so, answers what it has taken, and ends in peace. The signal goes to
// the whole process group, as a terminal or a service manager sends it: the codecs must still do their work.
func TestStop(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	p := startService(t, "--origin="+o.URL, "--shutdownTimeout=20s", "--fetch.timeout=20s")

	// A connection that rests must not hold up the end.
	resting := &http.Client{Transport: &http.Transport{}}
	res, err := resting.Get(p.image("/a.jpg", 64))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()

	o.pause()
	inFlight := asking(p.image("/b.jpg", 64), "Accept", "image/webp")
	eventually(t, "the source is being fetched", func() bool { return o.fetches.Load() == 2 })
	send(t, -p.cmd.Process.Pid, syscall.SIGTERM)
	eventually(t, "/readyz says no", func() bool { return get(t, p.admin+"/readyz").status == http.StatusServiceUnavailable })
	if r := get(t, p.admin+"/readyz"); !strings.Contains(string(r.body), "shutting down") {
		t.Errorf("/readyz: %v", r)
	}
	if r := get(t, p.admin+"/healthz"); r.status != http.StatusOK {
		t.Errorf("/healthz while stopping: %v", r)
	}
	eventually(t, "connections are refused", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.public, "http://"))
		if err != nil {
			return true
		}
		_ = c.Close()
		return false
	})
	select {
	case <-p.ended:
		t.Fatal("the process has ended before the request was answered")
	default:
	}

	o.resume()
	r := wait(t, inFlight)
	if want, ok := nextSum(t, "photo-640.jpg", 64, "image/webp"); r.status != http.StatusOK || ok && r.sum() != want {
		t.Errorf("the request in flight: %v", r)
	}
	if code := p.exitCode(t); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	p.logged(t, func(l logLine) bool { return l.Msg == "stopped" })
}

// SIGINT, from a terminal, is the same.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	p := startService(t, "--origin="+imagesOrigin(t))
	send(t, -p.cmd.Process.Pid, syscall.SIGINT)
	if code := p.exitCode(t); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

// When the grace period is over, the process ends all the same: those who wait are told to ask elsewhere, and the exit
// code and the log say that something was left undone.
func TestStopGraceOver(t *testing.T) {
	t.Parallel()
	const grace, clients = 300 * time.Millisecond, 200
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	o.pause()
	p := startService(t, "--origin="+o.URL, "--shutdownTimeout="+grace.String(), "--fetch.timeout=1m", "--timeout=1m")
	var inFlight [clients]<-chan outcome
	for i := range inFlight {
		inFlight[i] = asking(p.image(fmt.Sprintf("/%d.jpg", i%10), 64))
	}
	eventually(t, "all requests are in flight", func() bool { return p.metric(t, "imgopt_http_requests_in_flight") == clients })

	started := time.Now()
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if took := time.Since(started); took < grace || took > grace+5*time.Second {
		t.Errorf("the end took %v, with a grace period of %v", took, grace)
	}
	for i, done := range inFlight {
		r := wait(t, done)
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || r.header.Get("Cache-Control") != "" {
			t.Errorf("request %d: %v, want 503, to be tried again, not to be cached", i, r)
		}
	}
	l := p.logged(t, func(l logLine) bool { return l.Level == "ERROR" })
	if l.Msg != "stopped before everything was finished" || !strings.Contains(l.Error, "requests under way") {
		t.Errorf("the log says %+v", l)
	}
	said := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	if last := said[len(said)-1]; !strings.HasPrefix(last, "imgopt: finishing the requests under way: ") {
		t.Errorf("the last line is %q", last)
	}
}

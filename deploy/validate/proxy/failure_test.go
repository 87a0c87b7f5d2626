package proxy

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"imgopt/deploy/validate/internal/lab"
)

const target = "/_next/image?url=/a.png&w=64&q=75"

// another is a target of its own for each n: the proxies choose the imgopt by the target.
func another(n int) string { return fmt.Sprintf("/_next/image?url=/%d.png&w=64&q=75", n) }

// An answer of imgopt is final, whatever it says: it has retried what can be retried, and a 503 says when to come back.
func TestAnswersAreFinal(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		address := x.start(t, s.p)
		for _, status := range []int{400, 404, 405, 413, 429, 500, 502, 503, 504, 508} {
			before := s.total()
			s.both(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
				_, _ = fmt.Fprintf(w, "imgopt's own text, %d", status)
			})
			got := ask(t, address, "GET", target)
			if got.status != status || got.header.Get("Retry-After") != "7" || got.body != fmt.Sprintf("imgopt's own text, %d", status) {
				t.Errorf("%d became %d %q, Retry-After %q", status, got.status, got.body, got.header.Get("Retry-After"))
			}
			if n := s.total() - before; n != 1 {
				t.Errorf("%d: asked %d times", status, n)
			}
		}
		if all := f.asked("/_next/image"); len(all) > 0 {
			t.Errorf("the application was asked: %q", all)
		}
	})
}

// One of two imgopts is gone: no client notices.
func TestOneGone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		address := x.start(t, s.p)
		s.stop(0)
		for n := range 20 {
			if got := ask(t, address, "GET", another(n)); got.status != 200 || got.body != "imgopt 1" {
				t.Fatalf("%d %q", got.status, got.body)
			}
		}
	})
}

// One hangs up before it answers (it was killed): the other is asked, once.
func TestHangsUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		address := x.start(t, s.p)
		var calls atomic.Int64
		hangUp := func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) > 1 {
				_, _ = fmt.Fprint(w, "the second")
				return
			}
			panic(http.ErrAbortHandler)
		}
		s.both(hangUp)
		if got := ask(t, address, "GET", target); got.status != 200 || got.body != "the second" {
			t.Errorf("%d %q", got.status, got.body)
		}
		calls.Store(0)
		s.both(func(http.ResponseWriter, *http.Request) {
			calls.Add(1)
			panic(http.ErrAbortHandler)
		})
		if got := ask(t, address, "GET", target); got.status != 502 && got.status != 503 {
			t.Errorf("both hang up: %d", got.status)
		}
		// Twice; and once more where the first attempt was made on a kept connection, which may have been closed for
		// other reasons (Caddy's client, Go's, then takes another one).
		if n := calls.Load(); n > 3 {
			t.Errorf("both hang up: asked %d times", n)
		}
	})
}

// A request that got no answer in time is not sent again: the work would be done twice.
func TestTimeout(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		s.p.quick = true
		s.both(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		address := x.start(t, s.p)
		if got := ask(t, address, "GET", target); got.status != 504 && got.status != 502 {
			t.Errorf("%d", got.status)
		}
		if n := s.total(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// All are gone: the client is told soon, and the application does not get the work after all.
func TestAllGone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		address := x.start(t, s.p)
		s.stop(0)
		s.stop(1)
		for range 3 {
			began := time.Now()
			got := ask(t, address, "GET", target)
			if got.status != 502 && got.status != 503 || time.Since(began) > 8*time.Second {
				t.Errorf("%d after %v", got.status, time.Since(began))
			}
		}
		if page := ask(t, address, "GET", "/page"); page.status != 200 {
			t.Errorf("a page: %d", page.status)
		}
		if all := f.asked("/_next/image"); len(all) > 0 {
			t.Errorf("the application was asked: %q", all)
		}
	})
}

// One that is not ready is not asked, where the proxy can know.
func TestNotReady(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		if !x.active {
			return // it cannot know: open-source nginx has passive checks only
		}
		f := newFrontend(t)
		s := newScripted(t, f.address())
		s.unready[0].Store(true)
		address := x.start(t, s.p)
		served := func() bool { // all by the other
			for n := range 10 {
				if ask(t, address, "GET", another(n)).body != "imgopt 1" {
					return false
				}
			}
			return true
		}
		lab.Eventually(t, "only the ready one is asked", served)
		s.unready[0].Store(false)
		lab.Eventually(t, "it is asked again", func() bool { return !served() })
	})
}

// A rolling restart: one real imgopt is told to stop while images are asked for. Nobody notices.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		p, processes := startImgopts(t, f, "")
		address := x.start(t, p)
		stop := make(chan struct{})
		var asked, failed atomic.Int64
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: lab.Patience}
				defer client.CloseIdleConnections()
				for n := i; ; n += 4 {
					select {
					case <-stop:
						return
					default:
					}
					resp, err := client.Get("http://" + address + another(n%200))
					asked.Add(1)
					if err != nil {
						failed.Add(1)
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
					if resp.StatusCode != 200 && failed.Add(1) < 5 {
						t.Errorf("status %d", resp.StatusCode)
					}
				}
			})
		}
		lab.Eventually(t, "requests", func() bool { return asked.Load() > 20 })
		if err := processes[0].Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-processes[0].Ended
		after := asked.Load()
		lab.Eventually(t, "more requests", func() bool { return asked.Load() > after+50 })
		close(stop)
		clients.Wait()
		if code := processes[0].Cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("imgopt ended with %d", code)
		}
	})
}

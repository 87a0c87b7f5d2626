package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

// pipeClient returns a client with a timeout of 7 s and a server for all its absolute hrefs, connected by pipes so
// that time can be faked. dialTakes is how long connecting takes.
func pipeClient(t *testing.T, dialTakes time.Duration, answer func(w io.Writer, requestLine string)) *Client {
	var servers sync.WaitGroup
	t.Cleanup(servers.Wait)
	c := newTestClient(t, func(o *Options) { o.Timeout = 7 * time.Second })
	c.upstream.DialContext = c.ownedDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-time.After(dialTakes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		here, there := net.Pipe()
		servers.Go(func() {
			defer there.Close()
			r := bufio.NewReader(there)
			for {
				line, err := r.ReadString('\n')
				for header := line; err == nil && header != "\r\n"; {
					header, err = r.ReadString('\n')
				}
				if err != nil {
					return
				}
				answer(there, line)
			}
		})
		return here, nil
	})
	return c
}

// hang does nothing until the other side closes the connection.
func hang(conn io.Writer) { io.Copy(io.Discard, conn.(io.Reader)) }

func TestTimeouts(t *testing.T) {
	timedOut := want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_timeout", retryable: true, timeout: true}
	for _, tt := range []struct {
		name     string
		dial     time.Duration
		answer   func(w io.Writer, line string)
		deadline time.Duration // of the caller
		took     time.Duration
		want     want
	}{
		{
			name: "in time", dial: 3 * time.Second, took: 6 * time.Second,
			answer: func(w io.Writer, _ string) {
				time.Sleep(3 * time.Second)
				io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
			},
		},
		{
			name: "no answer", took: 7 * time.Second, want: timedOut,
			answer: func(w io.Writer, _ string) { hang(w) },
		},
		{
			name: "no connection", dial: time.Hour, took: 7 * time.Second, want: timedOut,
		},
		{
			name: "trickling header", took: 7 * time.Second, want: timedOut,
			answer: func(w io.Writer, _ string) {
				_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nX: ")
				for err == nil {
					time.Sleep(time.Second)
					_, err = io.WriteString(w, "x")
				}
			},
		},
		{
			name: "trickling body", took: 7 * time.Second, want: timedOut,
			answer: func(w io.Writer, _ string) {
				_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\n\r\n")
				for err == nil {
					time.Sleep(time.Second)
					_, err = io.WriteString(w, "x")
				}
			},
		},
		{
			name: "stalled gzip", took: 7 * time.Second, want: timedOut,
			answer: func(w io.Writer, _ string) {
				io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"+bomb()[:100])
				hang(w)
			},
		},
		{
			name: "a new limit for every hop", took: 20 * time.Second,
			answer: func(w io.Writer, line string) {
				time.Sleep(5 * time.Second)
				var n int
				fmt.Sscanf(line, "GET /%d", &n)
				if n < 3 {
					fmt.Fprintf(w, "HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n", n+1)
				} else {
					io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
				}
			},
		},
		{
			name: "the last hop hangs", took: 10 * time.Second, want: timedOut,
			answer: func(w io.Writer, line string) {
				time.Sleep(3 * time.Second)
				if strings.HasPrefix(line, "GET /0") {
					io.WriteString(w, "HTTP/1.1 302 Found\r\nLocation: /1\r\nContent-Length: 0\r\n\r\n")
				} else {
					hang(w)
				}
			},
		},
		{
			name: "the caller's time runs out", deadline: 5 * time.Second, took: 5 * time.Second,
			want:   want{status: 504, text: failure.TextUpstreamTimeout, reason: "timeout", timeout: true},
			answer: func(w io.Writer, _ string) { hang(w) },
		},
		{
			name: "the caller's time runs out in the body", deadline: 5 * time.Second, took: 5 * time.Second,
			want: want{status: 504, text: failure.TextUpstreamTimeout, reason: "timeout", timeout: true},
			answer: func(w io.Writer, _ string) {
				io.WriteString(w, "HTTP/1.1 200 OK\r\n\r\nx")
				hang(w)
			},
		},
		{
			name: "the caller's time runs out before anything", deadline: -1,
			want: want{status: 504, text: failure.TextUpstreamTimeout, reason: "timeout", timeout: true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := pipeClient(t, tt.dial, tt.answer)
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				begin := time.Now()
				_, err := c.Fetch(ctx, Request{Href: "http://slow.test/0", Absolute: true})
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.want == (want{}) {
					if err != nil {
						t.Error(err)
					}
				} else if f := tt.want.check(t, err); errors.Is(f, context.DeadlineExceeded) != (tt.deadline != 0) {
					t.Errorf("cannot tell whose time ran out: %v", f)
				}
			})
		})
	}
}

var canceled = want{status: 503, text: "Service Unavailable", reason: "canceled"}

// checkCanceled compares an error of work that was called off.
func checkCanceled(t *testing.T, err error) {
	t.Helper()
	f := canceled.check(t, err)
	if !errors.Is(f, context.Canceled) {
		t.Errorf("%v does not wrap context.Canceled", f)
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pipeClient(t, 0, func(w io.Writer, _ string) { hang(w) })
		reason := errors.New("nobody waits")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(reason) })
		begin := time.Now()
		_, err := c.Fetch(ctx, Request{Href: "http://slow.test/", Absolute: true})
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %v", took)
		}
		if checkCanceled(t, err); !errors.Is(err, reason) {
			t.Errorf("%v does not say why", err)
		}
	})
}

func TestClose(t *testing.T) {
	for name, tt := range map[string]struct {
		dial   time.Duration
		answer string
	}{
		"connecting": {dial: time.Hour},
		"waiting":    {},
		"reading":    {answer: "HTTP/1.1 200 OK\r\n\r\nx"},
		"idle":       {answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := pipeClient(t, tt.dial, func(w io.Writer, _ string) {
					if _, err := io.WriteString(w, tt.answer); err == nil && name != "idle" {
						hang(w)
					}
				})
				done := make(chan error, 1)
				go func() {
					_, err := c.Fetch(t.Context(), Request{Href: "http://slow.test/", Absolute: true})
					done <- err
				}()
				synctest.Wait()
				begin := time.Now()
				c.Close()
				c.Close()
				if took := time.Since(begin); took != 0 {
					t.Errorf("closing took %v", took)
				}
				if err := <-done; name != "idle" {
					checkCanceled(t, err)
				} else if err != nil {
					t.Error(err)
				}
				_, err := c.Fetch(t.Context(), Request{Href: "http://slow.test/", Absolute: true})
				checkCanceled(t, err)
				// A dial that net/http began before may end now.
				if conn, err := c.upstream.DialContext(t.Context(), "tcp", "slow.test:80"); !errors.Is(err, errClosed) {
					t.Errorf("dial after Close: %v, %v", conn, err)
				}
			})
		})
	}
}

// The handshake of TLS has the same time limit, and goes on inside net/http when nobody waits for it any more: Close
// ends it.
func TestCloseDuringHandshake(t *testing.T) {
	accepted, closed := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		defer close(closed)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Read(make([]byte, 1)) // of the client's hello
		close(accepted)
		io.Copy(io.Discard, conn)
	}()
	c := newTestClient(t, func(o *Options) { o.Timeout = time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Fetch(ctx, Request{Href: "https://" + l.Addr().String() + "/", Absolute: true})
		done <- err
	}()
	<-accepted
	cancel()
	checkCanceled(t, <-done)
	c.Close()
	<-closed // or the test hangs
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for header, d := range map[string]time.Duration{
		"":                        0,
		"0":                       0,
		"17":                      17 * time.Second,
		" 17 ":                    17 * time.Second,
		"86400":                   24 * time.Hour,
		"86401":                   24 * time.Hour,
		"99999999999999999999999": 24 * time.Hour,
		"-1":                      0,
		"1.5":                     0,
		"soon":                    0,
		now.Add(time.Minute).Format(http.TimeFormat):      time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat):     0,
		now.Add(9999 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := parseRetryAfter(header, now); got != d {
			t.Errorf("%q: %v, want %v", header, got, d)
		}
	}
}

package fetch

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"imgopt/failure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBody is the limit of newTestClient.
const testBody = 100_000

// newTestClient returns a Client that may reach loopback addresses; change adjusts its options.
func newTestClient(t testing.TB, change func(*Options)) *Client {
	t.Helper()
	o := Options{Timeout: 10 * time.Second, MaxBody: testBody, MaxRedirects: 3, AllowLocalIP: true}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newServer starts an HTTP server.
func newTestServer(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// newRawServer starts a server that answers every request on a connection with whatever answer writes, and returns
// its url. answer gets the request line; the connection is closed after it returns.
func newRawServer(t testing.TB, answer func(conn net.Conn, requestLine string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				line, err := r.ReadString('\n')
				for header := line; err == nil && header != "\r\n"; {
					header, err = r.ReadString('\n')
				}
				if err == nil {
					answer(conn, line)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// newRawAnswer is a newRawServer that always sends the same.
func newRawAnswer(t testing.TB, answer string) string {
	return newRawServer(t, func(conn net.Conn, _ string) { conn.Write([]byte(answer)) })
}

// want is what a test expects of an error.
type want struct {
	status    int
	text      string
	reason    string
	retryable bool
	timeout   bool
}

// check compares err, which must be a *failure.Error.
func (w want) check(t *testing.T, err error) *failure.Error {
	t.Helper()
	var f *failure.Error
	if !errors.As(err, &f) {
		t.Fatalf("error %v (%T), want a *failure.Error with status %d", err, err, w.status)
	}
	got := want{f.Status, f.Text, f.Reason, f.Retryable, f.Timeout}
	if got != w {
		t.Errorf("got  %+v\nwant %+v\n(%v)", got, w, f)
	}
	if f.Retryable && f.RetryAfter != 0 {
		t.Errorf("RetryAfter %v of a retryable failure would reach the client", f.RetryAfter)
	}
	return f
}

func addrs(list ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, s := range list {
		parsed = append(parsed, netip.MustParseAddr(s))
	}
	return parsed
}

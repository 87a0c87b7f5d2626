//go:build e2e

package stress

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"imgopt/transform"
)

// Clients that ask for large images and do not read.
const (
	slowReaders   = 200
	slowImageSize = 6 * mib
)

// TestSlowReaders has many clients ask for large images that are passed on, each another one, and read nothing. What
// the service holds for them is bounded, others are served as ever, and everything is given back when they have gone.
func TestSlowReaders(t *testing.T) {
	o := startOrigin(t, "127.0.0.1")
	large := make([]byte, slowImageSize)
	copy(large, "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
	if media, err := transform.Detect(large); media != transform.HEIC || err != nil {
		t.Fatalf("%s %v", media, err)
	}
	o.put("large", served{body: large})
	o.put("photo", served{body: testImage(t, "photo-640.jpg")})
	s := startService(t, append(small.flags(t), "--origin=http://"+o.addr, "--log.level=info")...)
	ask := func(name string) {
		t.Helper()
		asked := time.Now()
		a, err := get(s.image("/photo/"+name+".jpg", 64), "Accept", acceptWebP)
		if err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != transform.WebP {
			t.Errorf("%s: %v %v", name, a, err)
		}
		if took := time.Since(asked); took > 3*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	ask("hit")
	before := s.resting(t)
	stop := s.watch(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	// A small window, so that the kernel takes next to nothing off the service's hands.
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(err, set)
	}}
	for i := range slowReaders {
		c, err := d.DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: slow.test\r\n\r\n", path(fmt.Sprintf("/large/%d.heic", i), 64)); err != nil {
			t.Fatal(err)
		}
	}
	// The first bytes of an answer are all that is read. None may come: then the service has not got round to it.
	answered, refusals := 0, 0
	for _, c := range conns {
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var first [12]byte
		n, err := c.Read(first[:])
		switch text := string(first[:n]); {
		case text == "HTTP/1.1 200":
			answered++
		case text == "HTTP/1.1 503":
			refusals++
		case errors.Is(err, os.ErrDeadlineExceeded):
		default:
			t.Errorf("a client that does not read got %q (%v)", text, err)
		}
	}
	for i := range 20 {
		ask("hit")
		ask(fmt.Sprintf("beside-%d", i))
	}
	seen := stop()
	t.Logf("%d clients do not read: %d answers begun, %d refused; the service took %s", slowReaders, answered, refusals, mibs(seen.Service))
	if answered == 0 {
		t.Error("no large image was sent")
	}
	s.mustRun(t)
	// The images that the kernel and the transports hold on both sides are not the service's.
	small.check(t, seen, slowReaders)
	for _, c := range conns {
		_ = c.Close()
	}
	ask("after")
	s.descriptorsBack(t, before, o)
}

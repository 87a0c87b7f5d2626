package handler

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Slow senders are cut off, whether they send a byte now and then or nothing at all.
func TestSlowHeader(t *testing.T) {
	addr := start(t, hits(testEntry(100)), func(o *Options) {
		o.HeaderTimeout, o.IdleTimeout = 150*time.Millisecond, 100*time.Millisecond
	})
	t.Run("drip", func(t *testing.T) {
		c := dial(t, addr)
		stop := make(chan struct{})
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for raw := request("GET", aJPG, "X: "+strings.Repeat("y", 1000)); raw != ""; raw = raw[1:] {
				select {
				case <-stop:
					return
				case <-tick.C:
					if _, err := io.WriteString(c, raw[:1]); err != nil {
						return
					}
				}
			}
		}()
		r := bufio.NewReader(c)
		if got := read(t, r, "GET"); got.StatusCode != 408 {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
		gone(t, r)
		close(stop)
		<-dripped
	})
	t.Run("body that does not come", func(t *testing.T) {
		for _, line := range []string{"Content-Length: 1", "Transfer-Encoding: chunked"} {
			r := bufio.NewReader(dialAndSend(t, addr, request("GET", aJPG, line)))
			if got := read(t, r, "GET"); got.StatusCode != 408 {
				t.Errorf("%s: %d", line, got.StatusCode)
			}
			gone(t, r)
		}
	})
	t.Run("lines without end", func(t *testing.T) {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			for {
				<-time.After(10 * time.Millisecond)
				if _, err := io.WriteString(c, "\r\n"); err != nil {
					return
				}
			}
		}()
		// There is nothing to answer: the connection ends.
		if b, err := io.ReadAll(r); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, %v", b, err)
		}
		_ = c.Close()
		<-dripped
	})
	t.Run("silence", func(t *testing.T) {
		r := bufio.NewReader(dial(t, addr))
		if got := read(t, r, "GET"); got.StatusCode != 408 {
			t.Errorf("%d", got.StatusCode)
		}
	})
	t.Run("idle", func(t *testing.T) {
		c := dial(t, addr)
		if _, err := io.WriteString(c, request("GET", aJPG)); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		read(t, r, "GET")
		gone(t, r)
	})
}

// A client that does not read is cut off once the time for a part of the answer has passed, while one that reads
// slowly but steadily gets an answer that takes longer than that in all.
func TestSlowReader(t *testing.T) {
	const size, writeTimeout = 24 << 20, 400 * time.Millisecond // a loaded machine keeps a reader waiting for a while
	outcomes := make(chan Outcome, 2)
	o := testOptions()
	o.Observer = observing(outcomes)
	app, err := New(hits(testEntry(size)), testRules(t), o)
	if err != nil {
		t.Fatal(err)
	}
	addr := serveApp(t, app, ListenOptions{WriteTimeout: writeTimeout})
	t.Run("stopped", func(t *testing.T) {
		c := dial(t, addr)
		if _, err := io.WriteString(c, request("GET", aJPG)); err != nil {
			t.Fatal(err)
		}
		<-outcomes
		// Not reading for so long is the fault being injected.
		<-time.After(4 * writeTimeout)
		if n, err := io.Copy(io.Discard, c); n >= size {
			t.Errorf("got all %d bytes (%v)", n, err)
		}
	})
	t.Run("steady", func(t *testing.T) {
		c := dial(t, addr)
		if _, err := io.WriteString(c, request("GET", aJPG)); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var total int64
		for {
			<-tick.C
			n, err := io.CopyN(io.Discard, c, 256<<10)
			total += n
			if total >= size {
				break
			}
			if err != nil {
				t.Fatalf("after %d bytes and %v: %v", total, time.Since(started), err)
			}
		}
		if d := time.Since(started); d < 2*writeTimeout {
			t.Errorf("that was not slow: %v", d)
		}
	})
}

// The kernel takes little for a client that does not read.
func TestUnsentIsLimited(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = ln.Close() }()
	client := slowDial(t, ln.Addr().String())
	c, err := Wrap(ln, ListenOptions{WriteTimeout: 300 * time.Millisecond}).Accept()
	must(t, err)
	if n, err := c.Write(make([]byte, 32<<20)); err == nil || n > 2*maxUnsent {
		t.Errorf("%d bytes were taken, %v", n, err)
	}
	_, _ = c.Close(), client.Close()
}

// A slow reader is cut off after the shorter time while memory is short, even if there was plenty when it was written
// to; without pressure it has the whole time.
func TestPressure(t *testing.T) {
	const patient, pressed = 1200 * time.Millisecond, 200 * time.Millisecond
	for name, press := range map[string]bool{"plenty": false, "short": true} {
		t.Run(name, func(t *testing.T) {
			load := &Load{}
			load.limit.Store(100 << 20)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer func() { _ = ln.Close() }()
			client := slowDial(t, ln.Addr().String())
			accepted, err := Wrap(ln, ListenOptions{WriteTimeout: patient, PressureTimeout: pressed}).Accept()
			must(t, err)
			c := accepted.(*conn)
			c.load = load
			s := &sending{body: make([]byte, 30<<20)}
			if !c.hold(s) {
				t.Fatal("refused")
			}
			began := time.Now()
			if press {
				timer := time.AfterFunc(pressed/2, func() { load.hold(&sending{body: make([]byte, 50<<20)}) })
				defer timer.Stop()
			}
			n, err := c.Write(s.body)
			took := time.Since(began)
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() || n >= len(s.body) {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
			low, high := patient, patient+time.Second
			if press {
				low, high = pressed, patient
			}
			if took < low || took > high {
				t.Errorf("cut off after %v, want %v to %v", took, low, high)
			}
			if load.ResponsesCut() != 1 {
				t.Errorf("%d cut off", load.ResponsesCut())
			}
			_, _ = c.Close(), client.Close()
		})
	}
}

// A body sent in many small writes has the same time for each 256 KiB as one that is not: a client that takes each of
// them soon enough and all of them too slowly is cut off.
func TestDrippingReader(t *testing.T) {
	const timeout = 400 * time.Millisecond
	load := &Load{}
	o := testOptions()
	o.Load = load
	app, err := New(bodies("image/bmp"), testRules(t), o)
	must(t, err)
	addr := serveApp(t, app, ListenOptions{WriteTimeout: timeout})
	c := slowDial(t, addr)
	_, err = io.WriteString(c, request("GET", sized("a", 2<<20), "Accept-Encoding: gzip"))
	must(t, err)
	tick := time.NewTicker(8 * time.Millisecond)
	defer tick.Stop()
	buf, total := make([]byte, 4096), 0 // 512 KB/s of the 655 KB/s it should be
	for load.ResponsesCut() == 0 {
		<-tick.C
		n, err := c.Read(buf)
		total += n
		if err != nil || total >= 2<<20 {
			break
		}
	}
	if load.ResponsesCut() != 1 {
		t.Errorf("all %d bytes were sent", total)
	}
}

// stuttering is a connection that takes a few bytes and then lets the deadline pass, again and again.
type stuttering struct {
	net.Conn
	taken []byte
	calls int
}

func (s *stuttering) Write(b []byte) (int, error) {
	s.calls++
	if s.calls%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := min(len(b), 7)
	s.taken = append(s.taken, b[:n]...)
	if n < len(b) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (*stuttering) SetWriteDeadline(time.Time) error { return nil }

// Wherever a write is interrupted, in what was held back or behind it, it goes on there.
func TestResumedWrites(t *testing.T) {
	inner := &stuttering{}
	c := &conn{Conn: inner, writeTimeout: time.Minute, pressureTimeout: time.Second}
	var want []byte
	for _, size := range []int{20, 100, 7, 1, 14, 3} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(len(want) + i)
		}
		want = append(want, b...)
		if size == 20 || size == 14 {
			c.gatherNext()
		}
		if n, err := c.Write(b); n != size || err != nil {
			t.Errorf("wrote %d of %d: %v", n, size, err)
		}
	}
	if !bytes.Equal(inner.taken, want) {
		t.Errorf("sent %v, want %v", inner.taken, want)
	}
}

package handler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a listener whose Accept fails as told.
type scripted struct {
	errs   []error
	closed chan struct{}
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		if err != nil {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
		}
		c, _ := net.Pipe()
		return c, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *scripted) Close() error   { close(s.closed); return nil }
func (s *scripted) Addr() net.Addr { return &net.TCPAddr{} }

// fasthttp ends its server when Accept fails, so being short of descriptors must not be a failure.
func TestAcceptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &scripted{closed: make(chan struct{})}
		for range 12 {
			inner.errs = append(inner.errs, syscall.EMFILE)
		}
		inner.errs = append(inner.errs, syscall.ECONNABORTED, nil)
		ln := Wrap(inner, ListenOptions{})
		started := time.Now()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(started); d < time.Second || d > 15*time.Second {
			t.Errorf("waited %v", d)
		}
		_ = c.Close()

		inner.errs = []error{syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE}
		go func() {
			time.Sleep(20 * time.Millisecond)
			_ = ln.Close()
		}()
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept ended with %v when the listener was closed", err)
		}
	})
	inner := &scripted{closed: make(chan struct{}), errs: []error{syscall.EINVAL}}
	if _, err := Wrap(inner, ListenOptions{}).Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a final error came as %v", err)
	}
}

// pair returns a conn and its peer, over TCP.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := Wrap(ln, ListenOptions{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Close(), client.Close() })
	return server.(*conn), client
}

// Whatever is held back and however large the rest is, the peer gets every byte in order.
func TestGatheredWrites(t *testing.T) {
	for _, sizes := range [][]int{{1024, 1}, {1024, 50000}, {1024, 0, 5}, {1, writePart}, {1024, writePart + 1}, {1024, 3*writePart + 7, 10, 20}, {5}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			server, client := pair(t)
			var want []byte
			written := make(chan error, 1)
			var parts [][]byte
			for i, n := range sizes {
				p := make([]byte, n)
				for j := range p {
					p[j] = byte(i*31 + j*7 + j>>8)
				}
				parts = append(parts, p)
				want = append(want, p...)
			}
			go func() {
				var err error
				for round := range 2 { // the second time with what the first one left behind
					for i, p := range parts {
						if i == 0 && len(parts) > 1 {
							server.gatherNext()
						}
						// The caller reuses its buffer at once, as bufio does.
						lent := bytes.Clone(p)
						n, e := server.Write(lent)
						clear(lent)
						if n != len(p) || e != nil {
							err = fmt.Errorf("round %d, part %d: wrote %d of %d: %w", round, i, n, len(p), e)
						}
					}
				}
				written <- errors.Join(err, server.Close())
			}()
			got, err := io.ReadAll(client)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
			if !bytes.Equal(got, append(bytes.Clone(want), want...)) {
				t.Errorf("got %d bytes, want twice %d, or not the same ones", len(got), len(want))
			}
		})
	}
}

// A peer that went away is an error, and how much was written does not count what was held back.
func TestGatheredWriteFails(t *testing.T) {
	server, client := pair(t)
	if err := client.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 { // until the reset has arrived
		server.gatherNext()
		if n, err := server.Write(make([]byte, 1000)); n != 1000 || err != nil {
			t.Fatalf("held back %d, %v", n, err)
		}
		n, err := server.Write(make([]byte, 1<<20))
		if err != nil {
			if n < 0 || n >= 1<<20 {
				t.Errorf("wrote %d", n)
			}
			return
		}
	}
	t.Error("writing to nobody never failed")
}

// The write deadline is set anew only once an eighth of it is gone.
func TestExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer func() { _, _ = a.Close(), b.Close() }()
		c := &conn{Conn: a, writeTimeout: time.Minute, pressureTimeout: 8 * time.Second}
		for _, step := range []struct{ sleep, left time.Duration }{{0, 8 * time.Second}, {time.Second, 7 * time.Second}, {time.Millisecond, 8 * time.Second}, {time.Minute, 8 * time.Second}} {
			time.Sleep(step.sleep)
			if err := c.extend(time.Now()); err != nil {
				t.Fatal(err)
			}
			if left := time.Until(c.deadline); left != step.left {
				t.Errorf("after %v %v are left, want %v", step.sleep, left, step.left)
			}
		}
	})
}

// A refused client that goes on sending cannot keep its connection for longer than a moment.
func TestLingerEnds(t *testing.T) {
	server, client := pair(t)
	server.linger.Store(true)
	sent := make(chan error, 1)
	go func() {
		for {
			if _, err := client.Write(make([]byte, 64<<10)); err != nil {
				sent <- err
				return
			}
		}
	}()
	started := time.Now()
	_ = server.Close()
	if d := time.Since(started); d > 10*lingerTime {
		t.Errorf("closing took %v", d)
	}
	<-sent
}

package handler

import (
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spare are descriptors set aside: open files that are closed when a descriptor is needed more for something else.
// Where the process has none left, and somebody else does not take it at that very moment, the next descriptor is then
// the one that was given up.
type spare struct {
	mu     sync.Mutex
	files  []*os.File
	want   int
	closed bool
}

func newSpare(n int) *spare {
	s := &spare{want: n}
	s.refill()
	return s
}

// refill opens what is missing, as far as that is possible, and reports whether nothing is missing any more.
func (s *spare) refill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && len(s.files) < s.want {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return false
		}
		s.files = append(s.files, f)
	}
	return true
}

// lend gives up one descriptor, if there is one.
func (s *spare) lend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.files) - 1
	if n < 0 {
		return false
	}
	f := s.files[n]
	s.files = s.files[:n]
	return f.Close() == nil
}

func (s *spare) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, f := range s.files {
		_ = f.Close() // a file that was only opened
	}
	s.files = nil
}

// hasPending reports whether somebody waits to be accepted. (accept4 asks for the descriptor first: it fails when there
// is none, even if nobody waits.)
func hasPending(ln net.Listener) bool {
	s, ok := ln.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	pending := false
	err = raw.Control(func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds[:], 0)
		pending = err == nil && n > 0
	})
	return err == nil && pending
}

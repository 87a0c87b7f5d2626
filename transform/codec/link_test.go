package codec

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

const fuzzArea = 1 << 16

// script plays the other end of a conversation: what a codec that was taken over might send, in any order.
type script struct {
	fd     int
	result *area
	ops    []byte
	honest bool // an answer to the question was among it
}

// next takes n bytes of the script; zeros where it has ended.
func (s *script) next(n int) []byte {
	b := make([]byte, n)
	copy(b, s.ops)
	s.ops = s.ops[min(n, len(s.ops)):]
	return b
}

func (s *script) send(b []byte) { _ = unix.Sendto(s.fd, b, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil) }

func (s *script) play() {
	var req request
	for len(s.ops) > 0 {
		switch s.next(1)[0] % 8 {
		case 0: // read the question
			b := make([]byte, maxMessage)
			_ = unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 5000})
			if n, _, err := unix.Recvfrom(s.fd, b, 0); err == nil {
				b = b[:max(n, 0)]
				if m, err := parseMany(b, fuzzArea); err == nil {
					req.seq = m.seq
				} else if taken, err := parseNext(b); err == nil {
					req.seq = taken + 1
				} else {
					req, _ = parseRequest(b, fuzzArea)
				}
			}
		case 1: // anything
			s.send(s.next(int(s.next(1)[0])))
		case 2: // an answer to the question, with any contents
			b := s.next(12)
			r := reply{seq: req.seq, status: replyStatus(b[0] % 6), result: int(int32(binary.LittleEndian.Uint32(b[1:]))), cpu: time.Duration(b[5]) << b[6], message: string(s.next(int(b[7])))}
			s.honest = s.honest || req.seq != 0 && r.status == replyOK && r.result >= 0 && r.result <= fuzzArea
			s.send(r.append(nil))
		case 3: // an answer to another question
			s.send(reply{seq: req.seq + uint64(s.next(1)[0])*2 + 1, result: 3}.append(nil))
		case 4: // the memory
			copy(s.result.data, s.next(16))
		case 5: // a long packet
			s.send(make([]byte, maxMessage+int(s.next(1)[0])*100))
		case 6: // many packets
			for range int(s.next(1)[0]) {
				s.send(reply{seq: req.seq, status: replyReady}.append(nil))
			}
		case 7:
			_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
		}
	}
}

// Whatever the other end sends: the service gets an answer of the right shape or an error, in time.
func FuzzConversation(f *testing.F) {
	f.Add([]byte{0, 2, 0, 10, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0})               // an honest answer
	f.Add([]byte{0, 2, 1, 0, 0, 0, 0, 1, 1, 3, 0, 0, 0, 0, 'w', 'h', 'y'}) // an honest error
	f.Add([]byte{0, 3, 0})
	f.Add([]byte{2, 0, 10})
	f.Add([]byte{0, 1, 200})
	f.Add([]byte{5, 9})
	f.Add([]byte{0, 6, 255, 2})
	f.Add([]byte{7})
	f.Add([]byte{0, 4, 1, 2, 3})
	f.Add(append([]byte{1, 29}, reply{seq: 1, result: fuzzArea + 1}.append(nil)...))
	f.Fuzz(func(t *testing.T, ops []byte) {
		l, theirs, err := newLink(fuzzArea, fuzzArea)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		defer theirs.Close()
		s := &script{fd: int(theirs.Fd()), result: l.result, ops: ops}
		var peer sync.WaitGroup
		peer.Go(s.play)
		started := time.Now()
		out, rep, err := l.ask(context.Background(), []byte("source"), transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}, 20*time.Millisecond, func() error { return nil })
		if took := time.Since(started); took > 5*time.Second {
			t.Fatalf("it took %s", took)
		}
		peer.Wait()
		switch {
		case err != nil:
			if !errors.Is(err, errBroken) && !errors.Is(err, errLimit) && !errors.Is(err, errNotSent) {
				t.Fatalf("an error that nobody expects: %v", err)
			}
			if out != nil {
				t.Fatal("bytes and an error")
			}
		case len(out) > fuzzArea || rep.status > replyTooLarge:
			t.Fatalf("%d bytes, %+v", len(out), rep)
		case rep.status == replyOK && !s.honest:
			t.Fatalf("a result that nobody sent: %+v", rep)
		case strings.ContainsAny(rep.message, "\n\r\x1b\x00"):
			t.Fatalf("the message %q is not fit for a log", rep.message)
		}
	})
}

// What is to be read between jobs was not asked for.
func TestQuiet(t *testing.T) {
	for name, do := range map[string]func(theirs *os.File){
		"":              func(*os.File) {},
		"an answer":     func(f *os.File) { _, _ = f.Write(reply{}.append(nil)) },
		"an empty one":  func(f *os.File) { _ = unix.Sendto(int(f.Fd()), nil, 0, nil) },
		"nobody there":  func(f *os.File) { _ = f.Close() },
		"no more words": func(f *os.File) { _ = unix.Shutdown(int(f.Fd()), unix.SHUT_WR) },
	} {
		l, theirs, err := newLink(4096, 4096)
		if err != nil {
			t.Fatal(err)
		}
		do(theirs)
		if quiet := l.quiet(); quiet != (name == "") {
			t.Errorf("%q: quiet is %t", name, quiet)
		}
		_ = theirs.Close()
		l.close()
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		" two\r\n lines\t":            "two lines",
		"\x1b[2Jred":                  "?[2Jred",
		"\xff\xfe":                    "?",
		"a\u202eb\u2028c\x00":         "a?b c?",
		"größer 画像":                   "größer 画像",
		strings.Repeat("\n", 10) + "": "",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

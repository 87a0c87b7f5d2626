package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// link is the service's end of the conversation with one codec process. The other end decodes hostile bytes and may
// have been taken over by them, so nothing it does is trusted: every packet is checked before it is believed, lengths
// are compared with what this side mapped, shared memory is read once and never looked at to decide anything.
type link struct {
	control        *net.UnixConn
	source, result *area
	seq            uint64
	written        int                  // of the source area, up to here: the last source
	packet         [maxMessage + 1]byte // one more: a longer packet is seen, not cut to size
}

var (
	// errBroken says that the other end closed the conversation or sent what is no answer.
	errBroken = errors.New("codec conversation broken")
	// errNotSent says that a question could not be asked: nobody has begun to work on it.
	errNotSent = errors.New("codec took no question")
	// errLimit says that no answer came in time.
	errLimit = errors.New("codec gave no answer in time")
)

// watchEvery is how often a process that works is looked at.
const watchEvery = 500 * time.Millisecond

// newLink makes both ends; theirs is for the process.
func newLink(maxSource, maxResult int) (_ *link, theirs *os.File, err error) {
	l := &link{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.source, err = newArea("imgopt-source", maxSource); err != nil {
		return nil, nil, err
	}
	if l.result, err = newArea("imgopt-result", maxResult); err != nil {
		return nil, nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("creating a codec's socket: %w", err)
	}
	theirs = os.NewFile(uintptr(pair[1]), "codec-control")
	ours := os.NewFile(uintptr(pair[0]), "codec")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("using a codec's socket: %w", err)
	}
	l.control = conn.(*net.UnixConn)
	return l, theirs, nil
}

// ask has one image encoded. The error is errNotSent, errLimit, errBroken, what watch returned, the context's, or nil:
// then the reply's status is one of an answer and out holds the result. watch is called every watchEvery.
func (l *link) ask(ctx context.Context, src []byte, spec transform.Spec, limit time.Duration, watch func() error) ([]byte, reply, error) {
	l.seq = rand.Uint64() // so that an answer sent ahead of the question is none
	l.hand(src)
	defer l.source.trim(len(src), keepSource)
	defer l.interruptible(ctx)()
	if err := l.tell(request{seq: l.seq, source: len(src), spec: spec}.append(l.packet[:0])); err != nil {
		return nil, reply{}, err
	}
	return l.take(ctx, limit, watch)
}

// askAll has several results made. The limit is one result's. got is called with each, in order, while the next one is
// made; out and rep are those of ask. An error, which is that of ask, is about the result after the last one of got.
func (l *link) askAll(ctx context.Context, src []byte, specs []transform.Spec, limit time.Duration, watch func() error, got func(out []byte, rep reply)) error {
	l.seq = rand.Uint64()
	l.hand(src)
	defer l.source.trim(len(src), keepSource)
	defer l.interruptible(ctx)()
	if err := l.tell(many{seq: l.seq, source: len(src), specs: specs}.append(l.packet[:0])); err != nil {
		return err
	}
	for i := range specs {
		out, rep, err := l.take(ctx, limit, watch)
		if err != nil {
			return err
		}
		if i < len(specs)-1 {
			if err := l.tell(appendNext(l.packet[:0], l.seq)); err != nil {
				// It has begun to work on the next one.
				got(out, rep)
				return fmt.Errorf("%w: %v", errBroken, err)
			}
			l.seq++
		}
		got(out, rep)
	}
	return nil
}

// interruptible makes the end of ctx end the wait for answers. What it returns is to be called at the end.
func (l *link) interruptible(ctx context.Context) (end func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = l.control.SetReadDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-interrupted // or it would move the deadline of the next job
		}
	}
}

// tell sends a packet. The error is errNotSent. Only a process that answers without ever reading a question can keep it
// from being written.
func (l *link) tell(packet []byte) error {
	if err := l.control.SetWriteDeadline(time.Now().Add(watchEvery)); err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if _, err := l.control.Write(packet); err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	return nil
}

// take waits for the answer to l.seq and takes the result out of its area.
func (l *link) take(ctx context.Context, limit time.Duration, watch func() error) ([]byte, reply, error) {
	rep, err := l.answer(ctx, limit, watch)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, reply{}, fmt.Errorf("encoding: %w", context.Cause(ctx))
	case err != nil:
		return nil, reply{}, err
	case rep.seq != l.seq:
		return nil, reply{}, fmt.Errorf("%w: %w: answer %d to question %d", errBroken, ErrProtocol, rep.seq, l.seq)
	case rep.status == replyReady:
		return nil, reply{}, fmt.Errorf("%w: %w: status %d", errBroken, ErrProtocol, rep.status)
	case rep.status != replyOK:
		return nil, rep, nil
	}
	// The one read of the result area. Its length came in a packet, which the other end cannot change any more; that
	// it may still write to the area only changes which bytes of its own it hands out.
	out := make([]byte, rep.result)
	copy(out, l.result.data)
	l.result.trim(rep.result, keepResult)
	clear(l.result.data[:min(rep.result, keepResult)]) // whom the next image takes over finds nothing of this one
	return out, rep, nil
}

// hand puts a source into its area, and nothing else: what the one before it was longer by is cleared. That costs less
// than the copying, and much less than giving the pages back and getting them again.
func (l *link) hand(src []byte) {
	copy(l.source.data, src)
	if len(src) < l.written {
		clear(l.source.data[len(src):l.written])
	}
	l.written = min(len(src), keepSource) // beyond that trim gives the pages back
}

// answer reads one reply within the limit (0: none), unless the context ends first (which moves the deadline).
func (l *link) answer(ctx context.Context, limit time.Duration, watch func() error) (reply, error) {
	end := time.Time{}
	if limit > 0 {
		end = time.Now().Add(limit)
	}
	for {
		deadline := time.Now().Add(watchEvery)
		if limit > 0 && end.Before(deadline) {
			deadline = end
		}
		if err := l.control.SetReadDeadline(deadline); err != nil {
			return reply{}, fmt.Errorf("%w: %w", errBroken, err)
		}
		if ctx.Err() != nil { // it may have ended before the deadline was set, which then undid its work
			_ = l.control.SetReadDeadline(time.Unix(1, 0))
		}
		rep, err := l.receive()
		switch {
		case err == nil:
			return rep, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return reply{}, fmt.Errorf("%w: %w", errBroken, err)
		case ctx.Err() != nil:
			return reply{}, context.Cause(ctx)
		}
		if err := watch(); err != nil {
			return reply{}, err
		}
		if limit > 0 && !time.Now().Before(end) {
			return reply{}, errLimit
		}
	}
}

// greeting reads the first packet of a process. watch is called every startEvery.
func (l *link) greeting(within time.Duration, watch func() error) (reply, error) {
	for end := time.Now().Add(within); ; {
		if err := l.control.SetReadDeadline(earlier(end, time.Now().Add(startEvery))); err != nil {
			return reply{}, err
		}
		rep, err := l.receive()
		switch {
		case err == nil && rep.status != replyReady:
			return rep, fmt.Errorf("%w: status %d before the first question", ErrProtocol, rep.status)
		case !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(end):
			return rep, err
		}
		if err := watch(); err != nil {
			return reply{}, err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (l *link) receive() (reply, error) {
	n, err := l.control.Read(l.packet[:])
	if err != nil {
		return reply{}, err
	}
	if n == 0 {
		return reply{}, io.EOF
	}
	rep, err := parseReply(l.packet[:n], len(l.result.data))
	rep.message = oneLine(rep.message)
	return rep, err
}

// quiet reports whether nothing is to be read. Between jobs anything there is wrong: the end of the conversation, or
// an answer that nobody asked for.
func (l *link) quiet() bool {
	raw, err := l.control.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		quiet = n == 0 && err == nil || errors.Is(err, unix.EINTR)
	})
	return quiet && err == nil
}

func (l *link) close() {
	if l.control != nil {
		_ = l.control.Close()
	}
	for _, a := range []*area{l.source, l.result} {
		if a != nil {
			a.close()
		}
	}
}

// oneLine makes a text that a codec wrote fit for a log: valid UTF-8, no line breaks, no control characters.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/testkit/race"
	"imgopt/transform"
)

type result struct {
	out []byte
	err error
}

// encodeAll checks that every result is told once.
func encodeAll(t *testing.T, p *Pool, src []byte, specs []transform.Spec) []result {
	t.Helper()
	results, calls := make([]result, len(specs)), make([]int, len(specs))
	p.EncodeAll(t.Context(), src, specs, func(i int, out []byte, err error) {
		calls[i]++
		results[i] = result{out, err}
	})
	for i, n := range calls {
		if n != 1 {
			t.Errorf("result %d was told %d times", i, n)
		}
	}
	return results
}

func someSpecs(n int) []transform.Spec {
	outputs := []string{transform.WebP, transform.JPEG, transform.PNG, transform.WebP}
	specs := make([]transform.Spec, n)
	for i := range specs {
		specs[i] = transform.Spec{Output: outputs[i%len(outputs)], Width: 16 + 16*(n-i)/len(outputs), Quality: 70 + i%2}
	}
	return specs
}

// Many results in one conversation, more than one request has room for, are those of as many calls of Encode.
func TestEncodeAllGivesWhatEncodeGives(t *testing.T) {
	p := pool(t, patient(t))
	src := jpegOf(t, picture(640, 480))
	specs := append(someSpecs(maxOutputs+40), transform.Spec{Output: transform.AVIF, Width: 48, Quality: 50})
	before := p.Stats()
	got := encodeAll(t, p, src, specs)
	if after := p.Stats(); after.Encoded-before.Encoded != uint64(len(specs)) || after.Busy != 0 {
		t.Errorf("%+v after %d results", after, len(specs))
	}
	for i, spec := range specs {
		want, err := p.Encode(t.Context(), src, spec)
		if err != nil || got[i].err != nil || !bytes.Equal(want, got[i].out) {
			t.Errorf("%+v: %d bytes (%v), want %d (%v)", spec, len(got[i].out), got[i].err, len(want), err)
		}
	}
	if n := len(p.idle); n != p.settings.Options.Workers {
		t.Errorf("%d processes are at rest", n)
	}
}

// A result that cannot be made, because it is too large for the area or for its format, loses none of the others.
func TestOneFailureLosesNoOther(t *testing.T) {
	s := patient(t)
	s.MaxResult = 20_000
	p := pool(t, s)
	got := encodeAll(t, p, pngOf(t, picture(600, 400)), []transform.Spec{
		{Output: transform.WebP, Width: 32, Quality: 75}, {Output: transform.PNG, Width: 600, Quality: 100}, {Output: transform.JPEG, Width: 64, Quality: 75},
	})
	var codec *transform.CodecError
	if got[0].err != nil || !errors.As(got[1].err, &codec) || codec.Crashed || got[2].err != nil {
		t.Errorf("%v, %v, %v: want that the second fails", got[0].err, got[1].err, got[2].err)
	}
	for _, r := range encodeAll(t, p, make([]byte, s.MaxSource+1), someSpecs(3)) {
		if !errors.As(r.err, &codec) {
			t.Errorf("a source that is too large: %v", r.err)
		}
	}
	for _, r := range encodeAll(t, p, nil, someSpecs(3)) {
		if !errors.As(r.err, &codec) {
			t.Errorf("an empty source: %v", r.err)
		}
	}
}

// A process that somebody kills in the middle costs nothing: what is done stays done, the rest is made in another one.
func TestAKilledProcessLosesNoResult(t *testing.T) {
	s := patient(t)
	s.Options.Workers = 1
	p := pool(t, s)
	src, specs := jpegOf(t, picture(900, 700)), someSpecs(12)
	calls, killed := 0, 0
	p.EncodeAll(t.Context(), src, specs, func(i int, out []byte, err error) {
		if err != nil || len(out) == 0 {
			t.Errorf("%+v: %v", specs[i], err)
		}
		if calls++; calls%5 == 0 {
			killed++
			p.mu.Lock()
			for proc := range p.live {
				_ = unix.Kill(proc.cmd.Process.Pid, unix.SIGKILL)
			}
			p.mu.Unlock()
		}
	})
	if calls != len(specs) || killed != 2 {
		t.Errorf("%d results of %d, %d kills", calls, len(specs), killed)
	}
	if stats := p.Stats(); stats.Replaced < 1 || stats.Crashed != 0 {
		t.Errorf("%+v", stats)
	}
	if p.poison.knows(src) {
		t.Error("the source is blamed")
	}
}

func TestEncodeAllEndsWithItsContext(t *testing.T) {
	p := pool(t, patient(t))
	ctx, cancel := context.WithCancel(t.Context())
	calls, failed := 0, 0
	p.EncodeAll(ctx, jpegOf(t, picture(900, 700)), someSpecs(12), func(_ int, _ []byte, err error) {
		if calls++; errors.Is(err, context.Canceled) {
			failed++
		}
		cancel()
	})
	if calls != 12 || failed < 10 { // the second may have been there already
		t.Errorf("%d results, %d of them cancelled", calls, failed)
	}
	_ = p.Close()
	for _, r := range encodeAll(t, p, []byte("source"), someSpecs(2)) {
		if !errors.Is(r.err, ErrClosed) {
			t.Errorf("%v, want that the pool is closed", r.err)
		}
	}
}

// Whatever a codec does that was taken over while it had several results to make: each result ends, and the next image
// gets what it should.
func TestTakenOverCodecsWithSeveralResults(t *testing.T) {
	var seen atomic.Int64
	s := settings(t)
	s.Command = append(s.Command, evilArgument)
	s.Options.Workers, s.Options.Timeout, s.MaxResult = 1, 200*time.Millisecond, evilResult
	if race.Enabled {
		s.Options.Timeout *= 5 // everything takes longer
	}
	s.Observe = func(o Outcome) {
		if seen.Add(1); o.CPU < 0 || o.CPU > 2*o.Wall+time.Second { // the two are measured at slightly different moments
			t.Errorf("%s of processor time in %s", o.CPU, o.Wall)
		}
	}
	p := pool(t, s)
	good, specs := jpegOf(t, picture(64, 48)), someSpecs(3)
	want := encodeAll(t, p, good, specs)
	for _, name := range []string{
		"an older answer", "the next answer early", "a flood after it", "exit", "kill itself", "close and stay", "say nothing", "too late",
		"no bytes at all", "all there is", "the same answer twice", "ready once more", "a message for the log",
	} {
		t.Run(name, func(t *testing.T) {
			got := encodeAll(t, p, []byte(evilPrefix+name), specs)
			for _, r := range got {
				var codec *transform.CodecError
				switch failed := errors.As(r.err, &codec); {
				case r.err != nil && !failed, failed && strings.ContainsAny(codec.Message, "\n\x1b\u202e"), len(r.out) > evilResult:
					t.Errorf("%d bytes, %v", len(r.out), r.err)
				case tricks[name].want == "crashed" && (!failed || !codec.Crashed):
					t.Errorf("%v, want a crash", r.err)
				}
			}
			if tricks[name].want == "crashed" {
				for _, r := range encodeAll(t, p, []byte(evilPrefix+name), specs) {
					var codec *transform.CodecError
					if !errors.As(r.err, &codec) || !codec.Poisoned {
						t.Errorf("once more: %v, want that it is not tried", r.err)
					}
				}
			}
			for i, r := range encodeAll(t, p, good, specs) {
				if r.err != nil || !bytes.Equal(r.out, want[i].out) {
					t.Errorf("a good source after it: %d bytes, %v", len(r.out), r.err)
				}
			}
		})
	}
	if seen.Load() == 0 {
		t.Error("nobody was told")
	}
}

func TestMessagesForSeveralResults(t *testing.T) {
	m := many{seq: 7, source: 1234, specs: someSpecs(maxOutputs)}
	packet := m.append(nil)
	if len(packet) > maxMessage {
		t.Errorf("%d bytes do not fit into a packet", len(packet))
	}
	got, err := parseMany(packet, 2000)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, b := range map[string][]byte{
		"a source beyond its area": many{source: 2001, specs: someSpecs(1)}.append(nil),
		"no result":                many{}.append(nil),
		"too many results":         many{specs: someSpecs(maxOutputs + 1)}.append(nil),
		"half a result":            packet[:len(packet)-1],
		"one result":               request{}.append(nil),
	} {
		if _, err := parseMany(b, 2000); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if seq, err := parseNext(appendNext(nil, 1<<63)); err != nil || seq != 1<<63 {
		t.Errorf("%d, %v", seq, err)
	}
}

// FuzzConversationOfMany is FuzzConversation for several results.
func FuzzConversationOfMany(f *testing.F) {
	answer := []byte{2, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	one := append([]byte{0}, answer...)
	f.Add(bytes.Repeat(one, 3))                                // honest answers
	f.Add(append([]byte{0}, bytes.Repeat(answer, 3)...))       // without waiting
	f.Add(one)                                                 // one and no more
	f.Add(append(bytes.Clone(one), 7))                         // one, and the end
	f.Add(append(bytes.Clone(one), 0, 2, 1))                   // one, and an error
	f.Add(append([]byte{0}, bytes.Repeat([]byte{3, 0}, 3)...)) // other numbers
	f.Add([]byte{5, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		l, theirs, err := newLink(fuzzArea, fuzzArea)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		defer theirs.Close()
		s := &script{fd: int(theirs.Fd()), result: l.result, ops: ops}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.play()
		}()
		started := time.Now()
		got := 0
		err = l.askAll(context.Background(), []byte("source"), someSpecs(3), 20*time.Millisecond, func() error { return nil }, func(out []byte, rep reply) {
			if got++; len(out) > fuzzArea || rep.status > replyTooLarge || rep.status != replyOK && out != nil {
				t.Errorf("%d bytes, %+v", len(out), rep)
			}
		})
		if took := time.Since(started); took > 5*time.Second {
			t.Fatalf("it took %s", took)
		}
		<-ended
		switch {
		case err == nil && got != 3, err != nil && got > 3:
			t.Fatalf("%d results, %v", got, err)
		case err != nil && !errors.Is(err, errBroken) && !errors.Is(err, errLimit) && !errors.Is(err, errNotSent):
			t.Fatalf("an error that nobody expects: %v", err)
		}
	})
}

package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// Strangers kill and stop processes while 500 calls run: every call gets its result, and no source is marked.
func TestStrangersCostNobodyTheAnswer(t *testing.T) {
	s := settings(t)
	s.Options.Timeout = 0
	p := pool(t, s)
	spec := transform.Spec{Output: transform.WebP, Width: 256, Quality: 75}
	var sources, want [][]byte
	for i := range 5 {
		src := jpegOf(t, picture(600+i, 400))
		out, err := p.Encode(t.Context(), src, spec)
		if err != nil {
			t.Fatal(err)
		}
		sources, want = append(sources, src), append(want, out)
	}
	stop := make(chan struct{})
	var strangers, calls sync.WaitGroup
	var kills, stops int
	strangers.Go(func() {
		pause := 100 * time.Millisecond
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
			signal, count := unix.SIGKILL, &kills
			pause = 100 * time.Millisecond
			if n%5 == 0 { // and nothing else until that can have been noticed
				signal, count, pause = unix.SIGSTOP, &stops, watchEvery+100*time.Millisecond
			}
			if pids := p.victims(); len(pids) > 0 && unix.Kill(pids[rand.IntN(len(pids))], signal) == nil {
				*count++
			}
		}
	})
	for i := range 500 {
		calls.Go(func() {
			got, err := p.Encode(context.Background(), sources[i%5], spec)
			if err != nil || !bytes.Equal(got, want[i%5]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	calls.Wait()
	close(stop)
	strangers.Wait()
	st := p.Stats()
	t.Logf("%d kills, %d stops: %+v", kills, stops, st)
	if kills < 5 || stops < 1 {
		t.Error("that is too few: the test proved nothing")
	}
	if st.Crashed != 0 || st.Poisoned != 0 || st.Replaced == 0 || st.Stopped == 0 {
		t.Errorf("%+v: want replaced and stopped processes, no crash, nothing poisoned", st)
	}
}

// slowSource takes half a second to encode with slowSpec, most of it in an encoder that cannot be interrupted.
var slowSpec = transform.Spec{Output: transform.AVIF, Width: 1080, Quality: 75}

func slowSource(t testing.TB) []byte { return jpegOf(t, picture(1600, 1200)) }

// patient are settings without a time limit, which a busy machine could reach.
func patient(t testing.TB) Settings {
	s := settings(t)
	s.Options.Workers, s.Options.Timeout = 1, 0
	return s
}

// whileBusy calls do with the process's id each time the only process of a pool has had a job for a while, until
// the returned function is called.
func whileBusy(p *Pool, do func(pid int) (again bool)) (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(2 * dying):
			}
			if pids := p.victims(); p.Stats().Busy > 0 && len(pids) > 0 && !do(pids[0]) {
				return
			}
		}
	})
	return func() { close(ended); wg.Wait() }
}

// No image is known that crashes this libvips, so SIGABRT stands in for the bug: whoever works on the source dies.
func TestASourceThatCrashesTwiceIsRefused(t *testing.T) {
	p := pool(t, patient(t))
	slow, good := slowSource(t), jpegOf(t, picture(300, 200))
	stop := whileBusy(p, func(pid int) bool { _ = unix.Kill(pid, unix.SIGABRT); return true })
	_, err := p.Encode(t.Context(), slow, slowSpec)
	stop()
	var codec *transform.CodecError
	if !errors.As(err, &codec) || !codec.Crashed || codec.Poisoned {
		t.Fatalf("%v, want a codec error that says it crashed", err)
	}
	_, err = p.Encode(t.Context(), slow, transform.Spec{Output: transform.JPEG, Width: 128, Quality: 75})
	if !errors.As(err, &codec) || !codec.Crashed || !codec.Poisoned {
		t.Errorf("another width of it: %v, want a codec error that says it was not tried", err)
	}
	if st := p.Stats(); st.Crashed != 2 || st.Poisoned != 1 {
		t.Errorf("it was tried a third time: %+v", st)
	}
	if _, err := p.Encode(t.Context(), good, slowSpec); err != nil {
		t.Errorf("another source after it: %v", err)
	}
}

// What SIGKILL means depends on whether the kernel was short of memory: it counts the processes it kills for that.
func TestKilledForWantOfMemoryOrByHand(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "vmstat")
	count := func(n int) {
		t.Helper()
		if err := os.WriteFile(counter, fmt.Appendf(nil, "nr_free_pages 1\noom_kill %d\nzone 3\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := slowSource(t)
	for _, c := range []struct {
		name    string
		kills   int // how often the process is killed
		kernel  bool
		crashed uint64
		refused bool
	}{
		{"by hand, once", 1, false, 0, false},
		{"by hand, three times", 3, false, 0, false},
		{"by hand, always", 99, false, 0, true},
		{"by the kernel, once", 1, true, 1, false},
		{"by the kernel, always", 99, true, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			count(0)
			p := pool(t, patient(t))
			p.oom.path = counter
			done := 0
			stop := whileBusy(p, func(pid int) bool {
				done++
				if c.kernel {
					count(done)
				}
				_ = unix.Kill(pid, unix.SIGKILL)
				return done < c.kills
			})
			_, err := p.Encode(t.Context(), src, slowSpec)
			stop()
			var codec *transform.CodecError
			if refused := errors.As(err, &codec) && codec.Crashed; refused != c.refused || !refused && err != nil {
				t.Errorf("%v, want refused: %t", err, c.refused)
			}
			if st := p.Stats(); st.Crashed != c.crashed {
				t.Errorf("%+v, want %d crashes", st, c.crashed)
			}
			if p.poison.knows(src) != c.refused {
				t.Errorf("remembered: %t, want %t", !c.refused, c.refused)
			}
		})
	}
}

// A process that is stopped, before it gets a job or while it has one, is replaced and the job done in another.
func TestStoppedProcessesAreReplaced(t *testing.T) {
	p := pool(t, patient(t))
	idle := p.victims()[0]
	if err := unix.Kill(idle, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !hasStopped(idle); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process does not stop")
		}
	}
	if _, err := p.Encode(t.Context(), jpegOf(t, picture(300, 200)), transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}); err != nil {
		t.Errorf("stopped while idle: %v", err)
	}
	if st := p.Stats(); st.Stopped != 1 || st.Canceled != 0 {
		t.Errorf("%+v: a job was given to a process that was stopped", st)
	}
	stop := whileBusy(p, func(pid int) bool { _ = unix.Kill(pid, unix.SIGSTOP); return false })
	if _, err := p.Encode(t.Context(), slowSource(t), slowSpec); err != nil {
		t.Errorf("stopped in the middle of a job: %v", err)
	}
	stop()
	if st := p.Stats(); st.Stopped != 2 || st.Replaced != 2 || st.TimedOut != 0 || st.Crashed != 0 {
		t.Errorf("%+v, want two processes stopped and replaced", st)
	}
}

// A time limit is a matter of a process that works; one that got no processor time is given a second chance.
func TestStarvedProcessesGetASecondChance(t *testing.T) {
	var a attempts
	if again, err := a.judge(errStarved); !again || err != nil {
		t.Errorf("the first time: %t, %v", again, err)
	}
	var codec *transform.CodecError
	if again, err := a.judge(errStarved); again || !errors.As(err, &codec) || !codec.TimedOut {
		t.Errorf("the second time: %t, %v", again, err)
	}
	p := pool(t, settings(t))
	for range cap(p.idle) {
		proc := <-p.idle
		before := proc.cpu()
		if _, _, err := proc.run(t.Context(), jpegOf(t, picture(900, 600)), slowSpec, 0, &p.oom); err != nil {
			t.Fatal(err)
		}
		if used := proc.cpu() - before; used < 20*time.Millisecond || used > time.Minute {
			t.Errorf("%s of processor time for an AVIF", used)
		}
		p.idle <- proc
	}
}

// Busy time and waiting time grow with the work, and jobs under way count.
func TestStatsTellUtilization(t *testing.T) {
	p := pool(t, patient(t))
	if st := p.Stats(); st.BusyTime != 0 || st.WaitTime != 0 {
		t.Errorf("an idle pool: %+v", st)
	}
	src := slowSource(t)
	started := time.Now()
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if _, err := p.Encode(t.Context(), src, slowSpec); err != nil {
				t.Error(err)
			}
		})
	}
	for p.Stats().BusyTime < 100*time.Millisecond { // before the first one has ended
		time.Sleep(time.Millisecond)
	}
	if st := p.Stats(); st.Busy != 1 || st.Waiting != 1 || st.Encoded != 0 {
		t.Errorf("in the middle of it: %+v", st)
	}
	calls.Wait()
	all := time.Since(started)
	if st := p.Stats(); st.BusyTime > all || st.BusyTime < all*8/10 || st.WaitTime < all/4 || st.WaitTime > all {
		t.Errorf("after %s: %+v", all, st)
	}
}

// hasStopped reports whether all threads of a process have stopped; a signal takes its time.
func hasStopped(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == int32(unix.SIGCHLD)
}

package codec

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/testkit/race"
	"imgopt/transform"
)

// within waits until a condition holds and tells how long that took.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	for started := time.Now(); ; time.Sleep(time.Millisecond) {
		switch took := time.Since(started); {
		case holds():
			return took
		case took > limit:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// replacedBy waits for so many processes to have been replaced, without any job.
func replacedBy(t *testing.T, p *Pool, n uint64) time.Duration {
	t.Helper()
	return within(t, 20*time.Second, "the processes are replaced", func() bool { return p.Stats().Replaced >= n && len(p.idle) == cap(p.idle) })
}

// What dies at rest is replaced without a job, as fast as a process starts.
func TestDeathAtRestIsSeenAtOnce(t *testing.T) {
	p := pool(t, patient(t))
	best := time.Hour
	for n := uint64(1); n <= 10 && best > idleEvery/2; n++ { // else the regular look would do for it
		if err := unix.Kill(p.victims()[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		best = min(best, replacedBy(t, p, n))
		// With a job done, its end is no failure of its slot, which would make the next start wait.
		if _, err := p.Encode(t.Context(), jpegOf(t, picture(64, 48)), transform.Spec{Output: transform.WebP, Width: 32, Quality: 75}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the slot was filled again after %s", best)
	if best > idleEvery/2 && !race.Enabled {
		t.Errorf("want that it does not wait for the regular look, every %s", idleEvery)
	}
}

// What a signal stops at rest is replaced without a job.
func TestStopAtRestIsSeen(t *testing.T) {
	p := pool(t, patient(t))
	if err := unix.Kill(p.victims()[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	replacedBy(t, p, 1)
	if st := p.Stats(); st.Stopped != 1 || st.Canceled+st.Crashed != 0 {
		t.Errorf("%+v", st)
	}
}

// What works at rest is replaced; what has done honest work is not.
func TestWorkAtRestIsSeen(t *testing.T) {
	s := patient(t)
	s.Command = append(s.Command, evilArgument)
	var said strings.Builder
	s.Log = slog.New(slog.NewTextHandler(&said, nil))
	p, err := NewPool(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Encode(t.Context(), slowSource(t), slowSpec); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * idleEvery)
	if st := p.Stats(); st.Replaced != 0 {
		t.Errorf("%+v: an honest process was replaced", st)
	}
	if _, err := p.Encode(t.Context(), []byte(evilPrefix+"burn when it is idle"), transform.Spec{}); err != nil {
		t.Fatal(err)
	}
	replacedBy(t, p, 1)
	// Between two jobs that follow each other fast there is no regular look, but each job looks.
	if _, err := p.Encode(t.Context(), []byte(evilPrefix+"burn when it is idle"), transform.Spec{}); err != nil {
		t.Fatal(err)
	}
	proc := <-p.idle
	within(t, 20*time.Second, "it has worked", func() bool { return proc.restless() != nil })
	p.idle <- proc
	if _, err := p.Encode(t.Context(), jpegOf(t, picture(64, 48)), transform.Spec{Output: transform.WebP, Width: 32, Quality: 75}); err != nil {
		t.Error(err)
	}
	if st := p.Stats(); st.Replaced != 2 || st.Crashed+st.Canceled+st.Stopped != 0 {
		t.Errorf("%+v", st)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if log := said.String(); strings.Count(log, errBusyIdle.Error()) != 2 {
		t.Errorf("the log: %s", log)
	}
}

// A process that is stopped while it starts costs its slot no more than it takes to see that.
func TestStopWhileStarting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one")
	s := patient(t)
	s.Command = append(s.Command, evilArgument, "stop", file)
	p := pool(t, s)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(p.victims()[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if took := replacedBy(t, p, 1); took > readyWithin/2 {
		t.Errorf("it took %s", took)
	}
	if st := p.Stats(); st.Stopped != 1 {
		t.Errorf("%+v: no start was stopped", st)
	}
}

// Processes that die as soon as they have started are started less and less often.
func TestBackOff(t *testing.T) {
	var last time.Duration
	for n := range 40 {
		wait := pause(n)
		if wait < last || n < 2 && wait != 0 || n > 20 && wait != 5*time.Second {
			t.Errorf("after %d failures: %s, before %s", n, wait, last)
		}
		last = wait
	}
	if pause(5) == 0 {
		t.Error("no pause after five failures")
	}

	s := patient(t)
	s.Command = append(s.Command, evilArgument, "die")
	p, started := pool(t, s), time.Now()
	const starts = 9
	least := time.Duration(0)
	for n := range starts {
		least += pause(n)
	}
	within(t, time.Minute, "it is tried again and again", func() bool { return p.Stats().Replaced >= starts })
	if took := time.Since(started); took < least {
		t.Errorf("%d starts in %s, want at least %s", starts, took, least)
	}

	// What has lived, or worked, was no failure.
	for _, c := range []struct {
		p    process
		want int
	}{
		{process{born: time.Now(), failed: 3}, 4},
		{process{born: time.Now(), failed: 3, jobs: 1}, 0},
		{process{born: time.Now().Add(-2 * youth), failed: 3}, 0},
	} {
		if got := c.p.failures(); got != c.want {
			t.Errorf("failed %d, jobs %d: %d, want %d", c.p.failed, c.p.jobs, got, c.want)
		}
	}
}

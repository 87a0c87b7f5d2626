package codec

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

// The same source gives the same bytes and the same failures as in this process.
func TestPoolEqualsInProcess(t *testing.T) {
	s := settings(t)
	p := pool(t, s)
	t.Logf("restrictions: %s", p.Restrictions())
	in, err := libvips.New(s.Options)
	if err != nil {
		t.Fatal(err)
	}
	photo := jpegOf(t, picture(700, 500))
	for name, src := range map[string][]byte{
		"jpeg": photo, "png": pngOf(t, picture(200, 300)), "truncated": photo[:len(photo)/2], "text": []byte("hello"), "empty": {},
	} {
		for _, output := range []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF, transform.GIF, transform.TIFF} {
			spec := transform.Spec{Output: output, Width: 128, Quality: 60}
			want, wantErr := in.Encode(t.Context(), src, spec)
			got, gotErr := p.Encode(t.Context(), src, spec)
			var a, b *transform.CodecError
			if errors.As(wantErr, &a) != errors.As(gotErr, &b) || !bytes.Equal(got, want) {
				t.Errorf("%s to %s: %d bytes, %v; in process %d bytes, %v", name, output, len(got), gotErr, len(want), wantErr)
			}
		}
	}
}

// victims returns the process ids of the pool.
func (p *Pool) victims() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pids []int
	for proc := range p.live {
		pids = append(pids, proc.cmd.Process.Pid)
	}
	return pids
}

// Processes that die while nothing is asked of them are replaced, and nobody is blamed.
func TestProcessesThatDieIdleAreNobodysFault(t *testing.T) {
	p := pool(t, settings(t))
	src := jpegOf(t, picture(300, 200))
	spec := transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}
	for range 3 {
		for _, pid := range p.victims() {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Encode(t.Context(), src, spec); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stats(); st.Crashed != 0 || st.Poisoned != 0 || st.Replaced == 0 {
		t.Errorf("%+v", st)
	}
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
}

// Close waits for a job under way also when its process has to be replaced after it.
func TestCloseDuringTheLastJobOfAProcess(t *testing.T) {
	s := settings(t)
	s.Options.Workers, s.MaxJobs = 1, 1
	p, err := NewPool(s)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := p.Encode(context.Background(), pngOf(t, picture(1500, 1200)), transform.Spec{Output: transform.WebP, Width: 828, Quality: 75})
		done <- err
	}()
	for p.Stats().Busy == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the job under way: %v", err)
	}
}

// A context that ends as a job does must not reach into the next one.
func TestLateCancellationHitsNobodyElse(t *testing.T) {
	s := settings(t)
	s.Options.Workers = 1
	p := pool(t, s)
	src := jpegOf(t, picture(64, 48))
	spec := transform.Spec{Output: transform.WebP, Width: 32, Quality: 75}
	var calls sync.WaitGroup
	for i := range 400 {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%20)*500*time.Microsecond)
			defer cancel()
			_, _ = p.Encode(ctx, src, spec)
		})
		calls.Go(func() {
			if _, err := p.Encode(context.Background(), src, spec); err != nil {
				t.Errorf("a job without a deadline: %v", err)
			}
		})
	}
	calls.Wait()
}

func TestCancelledJobFreesItsSlot(t *testing.T) {
	s := settings(t)
	s.Options.Workers = 1
	p := pool(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := p.Encode(ctx, pngOf(t, picture(3000, 2500)), transform.Spec{Output: transform.AVIF, Width: 1920, Quality: 75})
	var codec *transform.CodecError
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &codec) {
		t.Fatalf("%v, want the deadline and no codec error", err)
	}
	if _, err := p.Encode(t.Context(), jpegOf(t, picture(300, 200)), transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesAreRecycled(t *testing.T) {
	s := settings(t)
	s.Options.Workers, s.MaxJobs = 1, 3
	p := pool(t, s)
	src := jpegOf(t, picture(100, 80))
	seen := map[int]bool{}
	for range 10 {
		if pids := p.victims(); len(pids) == 1 {
			seen[pids[0]] = true
		}
		if _, err := p.Encode(t.Context(), src, transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stats(); st.Recycled != 3 || st.Crashed != 0 || len(seen) < 3 {
		t.Errorf("%+v, %d different processes", st, len(seen))
	}
}

func TestCodecsRunAtALowerPriority(t *testing.T) {
	p := pool(t, settings(t))
	mine, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range p.victims() {
		theirs, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
		if err != nil {
			t.Fatal(err)
		}
		if mine-theirs != 5 {
			t.Errorf("codec priority %d, own %d: want 5 less", theirs, mine)
		}
	}
}

func TestTooLargeSourcesAndResultsAreCodecErrors(t *testing.T) {
	s := settings(t)
	s.Options.Workers, s.MaxSource, s.MaxResult = 1, 100_000, 2_000
	p := pool(t, s)
	var codec *transform.CodecError
	if _, err := p.Encode(t.Context(), make([]byte, 100_001), transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}); !errors.As(err, &codec) {
		t.Errorf("a source over the limit: %v", err)
	}
	if _, err := p.Encode(t.Context(), jpegOf(t, picture(400, 300)), transform.Spec{Output: transform.WebP, Width: 384, Quality: 100}); !errors.As(err, &codec) {
		t.Errorf("a result over the limit: %v", err)
	}
	if _, err := p.Encode(t.Context(), jpegOf(t, picture(40, 30)), transform.Spec{Output: transform.WebP, Width: 32, Quality: 40}); err != nil {
		t.Errorf("a small one after them: %v", err)
	}
}

func TestCloseEndsAllProcesses(t *testing.T) {
	p, err := NewPool(settings(t))
	if err != nil {
		t.Fatal(err)
	}
	pids := p.victims()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("process %d is still there (%v)", pid, err)
		}
	}
	if _, err := p.Encode(t.Context(), []byte("x"), transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestNewPoolSaysWhyItCannotStart(t *testing.T) {
	s := settings(t)
	s.Command = []string{"/bin/false"}
	if _, err := NewPool(s); err == nil {
		t.Error("a command that is no codec was accepted")
	}
	s.Command = []string{"/nonexistent"}
	if _, err := NewPool(s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want that there is no such file", err)
	}
}

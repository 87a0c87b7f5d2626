package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// rig is a dispatcher under test with what it told.
type rig struct {
	*jobs.Dispatcher[string]
	t testing.TB

	mu     sync.Mutex
	events []jobs.Event
}

// start makes a dispatcher over a memory queue (or q) that is closed when the test ends.
func start(t testing.TB, work jobs.Work[string], change ...func(*jobs.Options)) *rig {
	t.Helper()
	q, err := jobs.NewMemory(queuetest.Roomy)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, q, work, change...)
}

func startOn(t testing.TB, q jobs.Queue, work jobs.Work[string], change ...func(*jobs.Options)) *rig {
	t.Helper()
	return startWith(t, change, func(o jobs.Options) (*jobs.Dispatcher[string], error) { return jobs.New(o, q, work) })
}

// startWith has a dispatcher opened that is closed when the test ends.
func startWith(t testing.TB, change []func(*jobs.Options), open func(jobs.Options) (*jobs.Dispatcher[string], error)) *rig {
	t.Helper()
	r := &rig{t: t}
	o := jobs.Defaults(1)
	o.Log = quiet
	o.Observe = func(e jobs.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	for _, c := range change {
		c(&o)
	}
	d, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Dispatcher = d
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// seen returns the events of one type.
func (r *rig) seen(typ jobs.EventType) []jobs.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []jobs.Event
	for _, e := range r.events {
		if e.Type == typ {
			found = append(found, e)
		}
	}
	return found
}

// forget forgets all events.
func (r *rig) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// finished checks the outcomes of all jobs that ended. Callers are told before observers: let those catch up.
func (r *rig) finished(want ...string) {
	r.t.Helper()
	synctest.Wait()
	var got []string
	for _, e := range r.seen(jobs.Finished) {
		got = append(got, e.Outcome)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("finished %v, want %v", got, want)
	}
}

func (r *rig) stats() jobs.Stats {
	r.t.Helper()
	s, err := r.Stats(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// answer is what Do returned.
type answer struct {
	result    string
	coalesced bool
	err       error
	at        time.Time
}

// do calls Do in a goroutine.
func (r *rig) do(ctx context.Context, job jobs.Job) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		result, coalesced, err := r.Do(ctx, job)
		ch <- answer{result, coalesced, err, time.Now()}
	}()
	return ch
}

// job returns the n-th test job; its result is its href where the work says so.
func job(n int) jobs.Job {
	spec := jobs.Spec{Href: fmt.Sprintf("/%d.png", n), Width: 640, Quality: 75}
	return jobs.Job{Key: jobs.KeyOf("test", spec), Spec: spec}
}

// background returns the n-th test job as one that nobody waits for.
func background(n int) jobs.Job {
	j := job(n)
	j.Kind = jobs.Prewarm
	return j
}

// flaky is an upstream's failure that may pass.
func flaky(status int) *failure.Error {
	return &failure.Error{Status: status, Reason: "upstream", Text: fmt.Sprintf("text of %d", status), Retryable: true}
}

// wantFailure checks status, reason and text ("" for any) of an error.
func wantFailure(t testing.TB, err error, status int, reason, text string) *failure.Error {
	t.Helper()
	var f *failure.Error
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want a *failure.Error", err)
	}
	if f.Status != status || f.Reason != reason || text != "" && f.Text != text {
		t.Fatalf("failure %v, want %d %s %q", f, status, reason, text)
	}
	return f
}

// gate blocks work until it is opened, and tells what is inside.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	in   []string
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

// work waits for the gate or its context, and returns the job's href.
func (g *gate) work(ctx context.Context, j jobs.Job) (string, error) {
	g.mu.Lock()
	g.in = append(g.in, j.Spec.Href)
	g.mu.Unlock()
	select {
	case <-g.open:
		return j.Spec.Href, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// began lists the hrefs of the attempts that began, in order.
func (g *gate) began() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.in...)
}

// bubble runs a test with fake time.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// logTo returns a logger and what it wrote.
func logTo() (*slog.Logger, *lockedBuffer) {
	b := new(lockedBuffer)
	return slog.New(slog.NewTextHandler(b, nil)), b
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// unsafeString is a string whose memory is reused later, as Fiber's are.
func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }

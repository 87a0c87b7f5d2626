package jobs_test

import (
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// quiet is for tests whose log lines are expected.
var quiet = slog.New(slog.DiscardHandler)

func TestMemoryQueue(t *testing.T) {
	queuetest.Run(t, queuetest.Harness{
		Run:         synctest.Test,
		Unit:        time.Second,
		OriginSlots: true,
		OriginRoom:  true,
		Open: func(t *testing.T, l jobs.Limits) func() jobs.Queue {
			return func() jobs.Queue {
				q, err := jobs.NewMemory(l)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { closeQueue(t, q) })
				return q
			}
		},
	})
}

func TestFilesystemQueue(t *testing.T) {
	queuetest.Run(t, queuetest.Harness{
		Run:     synctest.Test,
		Unit:    time.Second,
		Shared:  true,
		Durable: true,

		OriginSlots: true,
		OriginRoom:  true,
		Open: func(t *testing.T, l jobs.Limits) func() jobs.Queue {
			dir := t.TempDir()
			return func() jobs.Queue { return openFS(t, dir, func(o *jobs.FilesystemOptions) { o.Limits = l }) }
		},
	})
}

// openFS opens a filesystem queue that is closed when the test ends.
func openFS(t testing.TB, dir string, change ...func(*jobs.FilesystemOptions)) *jobs.Filesystem {
	t.Helper()
	o := jobs.FilesystemOptions{Dir: dir, Version: "test 1", Limits: queuetest.Roomy, Log: quiet}
	for _, c := range change {
		c(&o)
	}
	q, err := jobs.OpenFilesystem(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQueue(t, q) })
	return q
}

func closeQueue(t testing.TB, q jobs.Queue) {
	if err := q.Close(); err != nil {
		t.Errorf("closing the queue: %v", err)
	}
}

func TestLimitsMustBePositive(t *testing.T) {
	for _, l := range []jobs.Limits{{}, {Interactive: 1}, {Background: 1}, {Interactive: -1, Background: 5},
		{Interactive: 1, Background: 1, OriginShare: -0.1}, {Interactive: 1, Background: 1, OriginShare: 1.1},
		{Interactive: 1, Background: 1, OriginShare: math.NaN()}} {
		if _, err := jobs.NewMemory(l); err == nil {
			t.Errorf("NewMemory(%+v) succeeded", l)
		}
		if _, err := jobs.OpenFilesystem(jobs.FilesystemOptions{Dir: t.TempDir(), Limits: l}); err == nil {
			t.Errorf("OpenFilesystem(%+v) succeeded", l)
		}
	}
	if _, err := jobs.OpenFilesystem(jobs.FilesystemOptions{Limits: jobs.DefaultLimits()}); err == nil {
		t.Error("OpenFilesystem without a folder succeeded")
	}
}

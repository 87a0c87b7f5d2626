package jobs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
)

// TestFolderFails: jobs are done from memory while the folder cannot be used, and one line tells; then it is used
// again.
func TestFolderFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		log, lines := logTo()
		q := openFS(t, dir, func(o *jobs.FilesystemOptions) { o.Log = log })
		g := newGate()
		r := startOn(t, q, g.work, func(o *jobs.Options) { o.Background = 1 })
		if _, err := r.Submit(t.Context(), background(0)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, sub := range []string{"queued", "leased"} { // as if the disk were gone
			if err := os.Rename(filepath.Join(dir, sub), filepath.Join(dir, sub+".away")); err != nil {
				t.Fatal(err)
			}
		}
		for n := 2; n < 5; n++ {
			if joined, err := r.Submit(t.Context(), background(n)); err != nil || joined {
				t.Fatalf("Submit: %v, %v", joined, err)
			}
		}
		if joined, err := r.Submit(t.Context(), background(4)); err != nil || !joined {
			t.Errorf("Submit again: %v, %v", joined, err)
		}
		close(g.open)
		if a := <-r.do(t.Context(), job(9)); a.err != nil {
			t.Errorf("an interactive job failed: %v", a.err)
		}
		time.Sleep(10 * time.Second)
		began := strings.Join(g.began(), " ")
		for n := 2; n < 5; n++ {
			if !strings.Contains(began, fmt.Sprintf("/%d.png", n)) {
				t.Errorf("job %d was not done: %s", n, began)
			}
		}
		st := queueStats(t, q)
		if st.StoreErrors == 0 {
			t.Errorf("stats %+v", st)
		}
		if n := strings.Count(lines.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d error lines: %s", n, lines)
		}
		for _, sub := range []string{"queued", "leased"} {
			if err := os.Rename(filepath.Join(dir, sub+".away"), filepath.Join(dir, sub)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Submit(t.Context(), background(6)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if !strings.Contains(lines.String(), "works again") {
			t.Errorf("log: %s", lines)
		}
		if files := append(jobFiles(t, dir, "queued"), jobFiles(t, dir, "leased")...); len(files) != 0 {
			t.Errorf("left over %v", files)
		}
	})
}

// TestFolderLocked: another process is stopped in the middle of a change. Nobody here waits for it for long, and who
// waits for an interactive job does not at all.
func TestFolderLocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		q := openFS(t, dir)
		other, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		submitTo(t, q, 1)
		if took := time.Since(began); took < 500*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("the first Enqueue took %v", took)
		}
		began = time.Now()
		for n := 2; n < 20; n++ {
			submitTo(t, q, n)
		}
		if _, err := q.Enqueue(t.Context(), jobs.Item{Job: job(30), EnqueuedAt: began}); err != nil {
			t.Error(err)
		}
		if l, err := q.Lease(t.Context(), jobs.Interactive, time.Minute); err != nil || l.Key != job(30).Key {
			t.Errorf("leased %v, %v", l.Spec.Href, err)
		}
		if got := leaseAll(t, q); len(got) != 19 {
			t.Errorf("leased %d", len(got))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the others took %v", took)
		}
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_UN); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		k := submitTo(t, q, 40)
		if _, err := os.Stat(fileOf(dir, "queued", k)); err != nil {
			t.Error(err)
		}
	})
}

// TestFolderLockedWithJobs: the same, with jobs in files already. One that somebody waits for is done at once, the
// others wait for the folder; none is lost.
func TestFolderLockedWithJobs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		g := newGate()
		r := startOn(t, openFS(t, dir), func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Priority == jobs.Interactive {
				return "by hand", nil
			}
			return g.work(ctx, j)
		}, func(o *jobs.Options) { o.Background = 1 })
		for n := range 3 { // the first runs, the others are queued
			if _, err := r.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		other, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if a := <-r.do(t.Context(), job(1)); a.result != "by hand" || a.at.Sub(began) > time.Second {
			t.Errorf("%+v after %v", a, a.at.Sub(began))
		}
		close(g.open) // the end of the first has to wait for the folder
		time.Sleep(5 * time.Second)
		if got := g.began(); len(got) != 1 {
			t.Errorf("began %v while the folder was locked", got)
		}
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_UN); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if files, err := filepath.Glob(filepath.Join(dir, "*", "*.job")); err != nil || len(files) != 0 {
			t.Errorf("left over %v, %v", files, err)
		}
		if s := r.stats().Queue; s.Leased+s.Background.Queued+s.Interactive.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
		if got := strings.Join(g.began(), " "); !strings.Contains(got, "/2.png") {
			t.Errorf("began %s", got)
		}
	})
}

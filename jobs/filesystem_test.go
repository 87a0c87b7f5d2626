package jobs_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

func submitTo(t *testing.T, q jobs.Queue, n int) jobs.Key {
	t.Helper()
	it := jobs.Item{Job: background(n), EnqueuedAt: time.Now()}
	it.Priority = jobs.Background
	if joined, err := q.Enqueue(t.Context(), it); err != nil || joined {
		t.Fatalf("Enqueue(%d): %v, %v", n, joined, err)
	}
	return it.Key
}

// leaseAll leases everything that is ready.
func leaseAll(t *testing.T, q jobs.Queue) []jobs.Lease {
	t.Helper()
	var all []jobs.Lease
	for {
		st, err := q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Background.Queued == 0 {
			return all
		}
		l, err := q.Lease(t.Context(), jobs.Background, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

func queueStats(t *testing.T, q jobs.Queue) jobs.QueueStats {
	t.Helper()
	st, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func fileOf(dir, sub string, k jobs.Key) string { return filepath.Join(dir, sub, k.String()+".job") }

func jobFiles(t *testing.T, dir, sub string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, sub, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestCorruptFiles: whatever lies in the folder, the good jobs are done and the rest is dropped, counted and logged.
func TestCorruptFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		q := openFS(t, dir)
		good := submitTo(t, q, 0)
		text, err := os.ReadFile(fileOf(dir, "queued", good))
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		put := func(sub string, n int, make func(path string) error) {
			t.Helper()
			if err := make(fileOf(dir, sub, job(n).Key)); err != nil {
				t.Fatal(err)
			}
		}
		content := func(b []byte) func(string) error {
			return func(path string) error { return os.WriteFile(path, b, 0o600) }
		}
		flipped := append([]byte(nil), text...)
		flipped[len(flipped)/2] ^= 1
		put("queued", 1, content(nil))
		put("queued", 2, content(text[:len(text)/2]))
		put("queued", 3, content(flipped))
		put("queued", 4, content(text)) // another job's
		put("queued", 5, content(make([]byte, 1<<20)))
		put("queued", 6, func(p string) error { return os.Mkdir(p, 0o700) })
		put("queued", 7, func(p string) error { return os.Symlink(fileOf(dir, "queued", good), p) })
		put("queued", 8, func(p string) error { return syscall.Mkfifo(p, 0o600) })
		put("leased", 9, content([]byte("garbage")))
		const corrupt = 9
		other := filepath.Join(dir, "queued", "README")
		if err := os.WriteFile(other, []byte("not ours"), 0o600); err != nil {
			t.Fatal(err)
		}

		log, lines := logTo()
		q = openFS(t, dir, func(o *jobs.FilesystemOptions) { o.Log = log })
		if got := leaseAll(t, q); len(got) != 1 || got[0].Key != good {
			t.Errorf("leased %v", got)
		}
		if st := queueStats(t, q); st.Corrupt != corrupt || st.StoreErrors != 0 {
			t.Errorf("stats %+v, want %d corrupt", st, corrupt)
		}
		if n := strings.Count(lines.String(), "dropped an unreadable job"); n != corrupt {
			t.Errorf("%d log lines: %s", n, lines)
		}
		if left := jobFiles(t, dir, "queued"); len(left) != 1 || left[0] != other {
			t.Errorf("left over %v", left)
		}
	})
}

// TestFileBecomesCorrupt: the file of a job this process knows breaks before the job is leased.
func TestFileBecomesCorrupt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		q := openFS(t, dir)
		broken, wanted := submitTo(t, q, 1), submitTo(t, q, 2)
		good := submitTo(t, q, 3)
		for _, k := range []jobs.Key{broken, wanted} {
			if err := os.WriteFile(fileOf(dir, "queued", k), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// Somebody waits for one of them: it is done all the same.
		if _, err := q.Enqueue(t.Context(), jobs.Item{Job: job(2), EnqueuedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		l, err := q.Lease(t.Context(), jobs.Interactive, time.Minute)
		if err != nil || l.Key != wanted {
			t.Fatalf("leased %v, %v", l.Spec.Href, err)
		}
		if err := q.Complete(t.Context(), l, jobs.Outcome{}); err != nil {
			t.Error(err)
		}
		l, err = q.Lease(t.Context(), jobs.Background, time.Minute)
		if err != nil || l.Key != good {
			t.Fatalf("leased %v, %v", l.Spec.Href, err)
		}
		if st := queueStats(t, q); st.Corrupt != 2 {
			t.Errorf("stats %+v", st)
		}
		submitTo(t, q, 1) // it can be asked for again
		if l, err := q.Lease(t.Context(), jobs.Background, time.Minute); err != nil || l.Key != broken {
			t.Errorf("leased %v, %v", l.Spec.Href, err)
		}
	})
}

// TestOtherVersion: jobs of another pipeline version are neither taken nor touched, until they are forgotten ones.
func TestOtherVersion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		slowly := func(o *jobs.FilesystemOptions) { o.Poll = time.Minute }
		old := openFS(t, dir, slowly, func(o *jobs.FilesystemOptions) { o.Version = "old" })
		submitTo(t, old, 1)
		if _, err := old.Lease(t.Context(), jobs.Background, time.Minute); err != nil {
			t.Fatal(err)
		}
		submitTo(t, old, 2)
		now := openFS(t, dir, slowly)
		time.Sleep(10 * time.Minute) // its lease has expired long since
		if st := queueStats(t, now); st.Background.Queued != 0 || st.Corrupt != 0 || st.Reclaimed != 0 {
			t.Errorf("stats %+v", st)
		}
		if got := leaseAll(t, old); len(got) != 2 {
			t.Errorf("the old version leased %d", len(got))
		}
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(jobFiles(t, dir, "queued")); n != 2 {
			t.Errorf("%d files", n)
		}
		time.Sleep(25 * time.Hour)
		if n := len(jobFiles(t, dir, "queued")); n != 0 {
			t.Errorf("%d files after a day", n)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		q := openFS(t, dir, func(o *jobs.FilesystemOptions) { o.MaxDead = 3 })
		r := startOn(t, q, failing(99, flaky(503)))
		for n := range 5 {
			if _, err := r.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		letters := jobFiles(t, dir, "dead")
		if len(letters) != 3 || queueStats(t, q).Buried != 5 {
			t.Errorf("%d letters, stats %+v", len(letters), queueStats(t, q))
		}
		b, err := os.ReadFile(fileOf(dir, "dead", job(4).Key))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`"retries_exhausted"`, `"status": 502`, "text of 503", `"/4.png"`, `"attempt": 3`} {
			if !strings.Contains(string(b), part) {
				t.Errorf("the dead letter lacks %s: %s", part, b)
			}
		}
		// An answer that the origin gave is none.
		gone := startOn(t, openFS(t, t.TempDir()), failing(99, failure.New(http.StatusNotFound, "upstream", "gone")))
		if _, err := gone.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if st := gone.stats(); st.Queue.Buried != 0 || st.Queue.Leased != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// TestKillerJob: a job whose workers die each time is given up.
func TestKillerJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		q := openFS(t, dir)
		killer := submitTo(t, q, 1)
		for n := 1; n <= 5; n++ { // three attempts, and two more
			l, err := q.Lease(t.Context(), jobs.Background, time.Second)
			if err != nil || l.Attempt != n {
				t.Fatalf("lease %d: %+v, %v", n, l.Item, err)
			}
			time.Sleep(3 * time.Second) // no sign of life
		}
		r := startOn(t, q, newGate().work)
		time.Sleep(time.Second)
		if st := r.stats(); st.Attempts != 0 || st.Queue.Buried != 1 {
			t.Errorf("stats %+v", st)
		}
		b, err := os.ReadFile(fileOf(dir, "dead", killer))
		if err != nil || !strings.Contains(string(b), "workers_died") {
			t.Errorf("dead letter %s, %v", b, err)
		}
	})
}

// TestInteractiveStaysInMemory: what somebody waits for never touches the disk.
func TestInteractiveStaysInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		g := newGate()
		r := startOn(t, openFS(t, dir), g.work, func(o *jobs.Options) { o.Concurrency = 1 })
		a, b := r.do(t.Context(), job(1)), r.do(t.Context(), job(2))
		synctest.Wait()
		files, err := filepath.Glob(filepath.Join(dir, "*", "*.job"))
		if err != nil || len(files) != 0 {
			t.Errorf("files %v, %v", files, err)
		}
		close(g.open)
		<-a
		<-b
	})
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "jobs")
	q := openFS(t, dir)
	k := submitTo(t, q, 1)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "queued"): 0o700, fileOf(dir, "queued", k): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

// TestPromotedJobTakenElsewhere: two processes, one submitted job. One works on it while somebody waits for it in the
// other, which has no way to get the result: it makes its own.
func TestPromotedJobTakenElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b := openFS(t, dir), openFS(t, dir)
		k := submitTo(t, a, 1)
		time.Sleep(2 * time.Second) // b has seen it
		la, err := a.Lease(t.Context(), jobs.Background, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Enqueue(t.Context(), jobs.Item{Job: job(1), EnqueuedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		lb, err := b.Lease(t.Context(), jobs.Interactive, time.Minute)
		if err != nil || lb.Key != k {
			t.Fatalf("leased %v, %v", lb.Spec.Href, err)
		}
		for _, end := range []error{
			b.Extend(t.Context(), lb, time.Minute), b.Complete(t.Context(), lb, jobs.Outcome{}),
			a.Extend(t.Context(), la, time.Minute), a.Complete(t.Context(), la, jobs.Outcome{}),
		} {
			if end != nil {
				t.Error(end)
			}
		}
		time.Sleep(5 * time.Second)
		for _, q := range []jobs.Queue{a, b} {
			if st := queueStats(t, q); st.Background.Queued+st.Interactive.Queued+st.Leased != 0 {
				t.Errorf("stats %+v", st)
			}
		}
	})
}

func TestFolderIsNoFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := jobs.OpenFilesystem(jobs.FilesystemOptions{Dir: path, Limits: queuetest.Roomy, Log: quiet})
	if !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("error %v", err)
	}
}

// TestTracesOfTheDead: the next process clears what dead ones left, and nothing else.
func TestTracesOfTheDead(t *testing.T) {
	dir := t.TempDir()
	living := openFS(t, dir)
	submitTo(t, living, 1)
	if _, err := living.Lease(t.Context(), jobs.Background, time.Hour); err != nil {
		t.Fatal(err)
	}
	dead, strange := filepath.Join(dir, "owners", strings.Repeat("A", 26)), filepath.Join(dir, "owners", "README")
	for _, path := range []string{dead, strange} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := openFS(t, dir)
	if st := queueStats(t, next); st.Background.Queued != 0 || st.Reclaimed != 0 {
		t.Errorf("took a living process's job: %+v", st)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead one's file: %v", err)
	}
	if _, err := os.Stat(strange); err != nil {
		t.Error(err)
	}
	if n := len(jobFiles(t, dir, "owners")); n != 3 {
		t.Errorf("%d files, want two living processes' and the strange one", n)
	}
}

// TestStoredJobsNeedNoRoom: what has been stored is done, however small the queue of the next process.
func TestStoredJobsNeedNoRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		before := openFS(t, dir)
		for n := range 20 {
			j := at("one", n)
			j.Priority = jobs.Background
			if _, err := before.Enqueue(t.Context(), jobs.Item{Job: j, EnqueuedAt: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		closeQueue(t, before)
		var done atomic.Int32
		next := openFS(t, dir, func(o *jobs.FilesystemOptions) {
			o.Limits = jobs.Limits{Interactive: 1, Background: 8, OriginShare: 0.5}
		})
		startOn(t, next, func(context.Context, jobs.Job) (string, error) {
			done.Add(1)
			return "", nil
		})
		time.Sleep(time.Minute)
		if done.Load() != 20 {
			t.Errorf("%d of 20 jobs were done", done.Load())
		}
	})
}

package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }

// child runs this test binary as another process that does children[name].
func child(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

func init() { children["full"] = putBeyondFileSizeLimit }

// A real refusal of the kernel to write on: the process may not make files larger than 64 KiB.
func TestDiskFull(t *testing.T) {
	if out, err := child(t, "full", t.TempDir()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func putBeyondFileSizeLimit(args []string) error {
	signal.Ignore(unix.SIGXFSZ) // so that write fails, with EFBIG, as it does with ENOSPC on a full disk
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		return err
	}
	d, err := OpenDisk(DiskOptions{Path: args[0], MaxBytes: roomy})
	if err != nil {
		return err
	}
	defer d.Close()
	<-d.Scanned()
	bg, k := context.Background(), Key{1}
	if err := d.Put(bg, k, sized(1000)); err != nil {
		return fmt.Errorf("a small entry: %w", err)
	}
	err = d.Put(bg, k, sized(100_000))
	var ioErr *IOError
	if !errors.As(err, &ioErr) || ioErr.Reason != "no_space" || ioErr.Op != "write" || !errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("a large entry: got %v", err)
	}
	if e, err := d.Get(bg, k); err != nil || len(e.Body) != 1000 {
		return fmt.Errorf("the previous entry: got %v, %w", e, err)
	}
	files, _ := filepath.Glob(args[0] + "/*/.*")
	if s := d.Stats(); s.Errors != 1 || s.Entries != 1 || s.Bytes != fileCost(1000+200) || len(files) != 0 {
		return fmt.Errorf("Stats: %+v, temporary files: %v", s, files)
	}
	return nil
}

// When others fill the disk, old entries make room for the new one, and only as many as it takes.
func TestDiskFullGivesUpOldEntries(t *testing.T) {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		d := newDisk(t, t.TempDir(), roomy)
		keys := fill(t, d, 20, 1000)
		calls := 0
		d.write = func(path string, header, body []byte) (int64, error) {
			if calls++; calls == 1 {
				return 0, full
			}
			return writeTemp(path, header, body)
		}
		mustPut(t, d, Key{255, 255}, sized(1000))
		if s := d.Stats(); !has(t, d, Key{255, 255}) || s.Evictions != 2 || s.Entries != 19 || s.Errors != 0 {
			t.Errorf("%v: Stats %+v", full, s)
		}
		if has(t, d, keys[0]) || !has(t, d, keys[2]) {
			t.Errorf("%v: other entries than the oldest were given up", full)
		}
	}
}

func TestDiskStaysFull(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	fill(t, d, 20, 1000)
	calls := 0
	d.write = func(string, []byte, []byte) (int64, error) { calls++; return 0, unix.ENOSPC }
	err := d.Put(t.Context(), Key{255, 255}, sized(1000))
	var ioErr *IOError
	if !errors.As(err, &ioErr) || ioErr.Reason != "no_space" || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Put: %v", err)
	}
	_, cost := filesIn(t, d.root)
	if s := d.Stats(); calls != 2 || s.Errors != 1 || s.Entries != 18 || s.Bytes != cost {
		t.Errorf("%d writes, Stats %+v, files cost %d", calls, s, cost)
	}
}

func TestIOErrorReasons(t *testing.T) {
	for errno, want := range map[error]string{
		unix.ENOSPC: "no_space", unix.EDQUOT: "no_space", unix.EFBIG: "no_space", unix.EROFS: "read_only",
		unix.EACCES: "permission", unix.EPERM: "permission", unix.EIO: "io", unix.EMFILE: "io",
	} {
		if got := ioError("write", errno); got.Reason != want || !errors.Is(got, errno) {
			t.Errorf("%v: %v", errno, got)
		}
	}
}

// A folder that may not be written to: Put fails, and nothing else. Root may write everywhere, so the test gives up
// root's file rights on a thread of its own.
func TestDiskForbidden(t *testing.T) {
	root := t.TempDir()
	d := newDisk(t, root, roomy)
	<-d.Scanned()
	mustPut(t, d, Key{1}, small())
	if err := os.Chmod(d.shardPath(1), 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(d.shardPath(1), 0o700)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		err := d.Put(t.Context(), Key{1}, small())
		var ioErr *IOError
		if !errors.As(err, &ioErr) || ioErr.Reason != "permission" || !errors.Is(err, os.ErrPermission) {
			t.Errorf("Put: %v", err)
		}
		if os.Geteuid() == 0 { // who may not even read misses
			if _, err := d.Get(t.Context(), Key{1}); !errors.Is(err, ErrMiss) || !errors.Is(err, os.ErrPermission) {
				t.Errorf("Get: %v", err)
			}
		}
		if err := d.Delete(t.Context(), Key{1}); !errors.As(err, &ioErr) {
			t.Errorf("Delete: %v", err)
		}
	}()
	<-done
	if !has(t, d, Key{1}) || d.Stats().Corrupt != 0 || d.Stats().Errors < 2 {
		t.Errorf("Stats: %+v", d.Stats())
	}
}

// Somebody empties the folder, or removes it: the cache starts anew, and its sums too.
func TestDiskFolderRemoved(t *testing.T) {
	d := newDisk(t, filepath.Join(t.TempDir(), "cache"), roomy)
	<-d.Scanned() // the first scan would forget vanished files too
	keys := fill(t, d, 50, 100)
	if err := os.RemoveAll(d.root); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), keys[0]); err != ErrMiss {
		t.Errorf("Get: %v", err)
	}
	if s := d.Stats(); s.Entries != 49 {
		t.Errorf("the index still has the vanished file: %+v", s)
	}
	mustPut(t, d, keys[0], small())
	if !has(t, d, keys[0]) {
		t.Error("no entry after a Put")
	}
	d.scan(t.Context())
	if s := d.Stats(); s.Entries != 1 || s.Bytes != fileCost(200) || s.Errors != 0 {
		t.Errorf("Stats after a scan: %+v", s)
	}
}

// A broken disk fails at every request; the log does not.
func TestDiskUpkeepLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		d := newDiskWith(t, DiskOptions{Path: t.TempDir(), MaxBytes: roomy, Log: slog.New(slog.NewTextHandler(&logged, nil))}, defaultTiming)
		<-d.Scanned()
		if err := os.WriteFile(d.shardPath(7), nil, 0o600); err != nil { // a file where a folder should be
			t.Fatal(err)
		}
		for range 100 {
			if _, err := d.Get(t.Context(), Key{7}); !errors.Is(err, ErrMiss) || !errors.Is(err, unix.ENOTDIR) {
				t.Fatalf("Get: %v", err)
			}
		}
		time.Sleep(time.Minute)
		has(t, d, Key{7})
		if s := d.Stats(); s.Errors != 101 || s.Misses != 101 {
			t.Errorf("Stats: %+v", s)
		}
		if n := strings.Count(logged.String(), "\n"); n != 2 {
			t.Errorf("%d log lines:\n%s", n, logged.String())
		}
		d.Close()
	})
}

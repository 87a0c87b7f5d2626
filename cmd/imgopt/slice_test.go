package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sliceOf is the slice that a thread of a process asked for, in the kernel's words.
func sliceOf(t *testing.T, thread string) time.Duration {
	t.Helper()
	id, err := strconv.Atoi(thread)
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := unix.SchedGetAttr(id, 0)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(attributes.Runtime)
}

// The service's threads have short slices and the codecs' the usual ones, with their niceness.
func TestSlices(t *testing.T) {
	t.Parallel()
	var release unix.Utsname
	if err := unix.Uname(&release); err != nil {
		t.Fatal(err)
	}
	p := startService(t, "--origin="+imagesOrigin(t), "--transform.workers=1", "--transform.nice=7")
	usual := sliceOf(t, strconv.Itoa(os.Getpid()))
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task/*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("%v %v", threads, err)
	}
	if usual == 0 {
		t.Logf("Linux %s does not tell slices: nothing to compare", unix.ByteSliceToString(release.Release[:]))
		return
	}
	short := 0
	for _, thread := range threads {
		if sliceOf(t, filepath.Base(thread)) == serviceSlice {
			short++
		}
	}
	if short < len(threads)-1 { // the one that starts codecs may be different
		t.Errorf("%d of %d threads have a short slice", short, len(threads))
	}
	codec := onlyCodec(t, p)
	if got := sliceOf(t, strconv.Itoa(codec)); got != usual {
		t.Errorf("a codec has a slice of %s, want %s", got, usual)
	}
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := min(own.Nice+7, 19)
	if attributes, err := unix.SchedGetAttr(codec, 0); err != nil || attributes.Nice != want {
		t.Errorf("%+v %v, want nice %d", attributes, err, want)
	}
}

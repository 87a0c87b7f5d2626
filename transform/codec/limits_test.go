package codec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// procFile reads a file of /proc about a process.
func procFile(t testing.TB, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// field is the rest of the line that begins with name.
func field(t testing.TB, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	t.Fatalf("no line begins with %q", name)
	return ""
}

// What the kernel says about a process agrees with what the pool says about it.
func TestRestrictionsHold(t *testing.T) {
	t.Setenv("IMGOPT_SECRET", "must not be seen")
	s := settings(t)
	s.Options.Workers, s.MaxData = 1, 8<<30
	p := pool(t, s)
	pid, said := p.victims()[0], p.Restrictions()
	t.Log(said)
	status := procFile(t, pid, "status")
	if name := field(t, status, "Name:"); name != "imgopt-codec" {
		t.Errorf("its name is %q", name)
	}
	if !strings.Contains(said, "no_new_privs") || field(t, status, "NoNewPrivs:") != "1" {
		t.Errorf("new privileges: %s", field(t, status, "NoNewPrivs:"))
	}
	if seccomp := field(t, status, "Seccomp:"); strings.Contains(said, "no seccomp") != (seccomp == "0") {
		t.Errorf("seccomp: %s", seccomp)
	}
	limits := procFile(t, pid, "limits")
	if got := field(t, limits, "Max data size"); got != "8589934592 8589934592 bytes" || !strings.Contains(said, "memory limit 8192 MiB") {
		t.Errorf("data size: %s", got)
	}
	if got := field(t, limits, "Max core file size"); got != "0 0 bytes" {
		t.Errorf("core files: %s", got)
	}
	if got := strings.TrimSpace(procFile(t, pid, "oom_score_adj")); got != "1000" {
		t.Errorf("the kernel would not choose it first: %s", got)
	}
	if env := procFile(t, pid, "environ"); strings.Contains(env, "IMGOPT_SECRET") {
		t.Errorf("it sees the service's environment: %q", env)
	}
	// Standard streams, the socket, the areas, Go's poller, and the processor quota that Go looks at when it starts.
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var foreign []string
	for _, f := range files {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, f.Name()))
		known := slices.ContainsFunc([]string{"/dev/null", "socket:", "/memfd:imgopt-", "anon_inode:[event", "/sys/fs/cgroup/"}, func(prefix string) bool { return strings.HasPrefix(to, prefix) })
		if !known {
			foreign = append(foreign, to)
		}
	}
	if len(foreign) > 0 {
		t.Errorf("it holds %q", foreign)
	}
}

func TestPixelLimitHoldsInProcesses(t *testing.T) {
	s := settings(t)
	s.Options.Workers, s.Options.MaxInputPixels = 1, 100*100
	p := pool(t, s)
	spec := transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}
	if _, err := p.Encode(t.Context(), pngOf(t, picture(100, 100)), spec); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	var codec *transform.CodecError
	if _, err := p.Encode(t.Context(), pngOf(t, picture(100, 101)), spec); !errors.As(err, &codec) || codec.Crashed || codec.TimedOut {
		t.Errorf("over it: %v, want a codec error", err)
	}
}

// A process that keeps the memory of a large image is replaced after it.
func TestGrownProcessesAreReplaced(t *testing.T) {
	s := patient(t)
	s.MaxGrowth = 2 << 20
	p := pool(t, s)
	small, spec := jpegOf(t, picture(64, 48)), transform.Spec{Output: transform.WebP, Width: 1920, Quality: 75}
	for range 20 {
		if _, err := p.Encode(t.Context(), small, spec); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stats(); st.Recycled != 0 {
		t.Fatalf("small images: %+v", st)
	}
	large := jpegOf(t, picture(1600, 1200))
	for range 5 {
		if _, err := p.Encode(t.Context(), large, spec); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stats(); st.Recycled == 0 || st.Crashed != 0 {
		t.Errorf("large images: %+v", st)
	}
}

// A process that cannot be started for want of descriptors, whichever of them is the first that is missing, is an error,
// and leaves nothing open.
func TestStartWithoutDescriptors(t *testing.T) {
	p := pool(t, patient(t))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	set := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
	}
	next := func() uint64 {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		return uint64(fd)
	}
	defer set(limit.Cur)
	first := next()
	for n := range uint64(64) {
		set(first + n)
		proc, err := p.launcher.start(&p.settings)
		set(limit.Cur)
		if err == nil {
			proc.free()
			if n < 4 {
				t.Errorf("started with %d descriptors: nothing was shown", n)
			}
			return
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("with %d descriptors: %v", n, err)
		}
		if now := next(); now != first {
			t.Fatalf("with %d descriptors: one is left open", n)
		}
	}
	t.Error("no process can be started")
}

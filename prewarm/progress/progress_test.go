package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"imgopt/prewarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// play is a run as a Renderer sees it.
func play(r Renderer) {
	r.Begin(prewarm.Looking, 0)
	r.Step(prewarm.Tally{Done: 1, Found: 20, Elapsed: time.Second})
	r.Step(prewarm.Tally{Done: 3, Found: 60, Elapsed: 6 * time.Second})
	r.Step(prewarm.Tally{Done: 4, Found: 70, Failed: 1, Elapsed: 7 * time.Second})
	r.Note("cannot read http://a/b: status 500")
	r.Begin(prewarm.Warming, 200)
	r.Step(prewarm.Tally{Done: 50, Resumed: 50, Bytes: 1 << 20, Elapsed: 0})
	r.Step(prewarm.Tally{Done: 60, Resumed: 50, Bytes: 2 << 20, Saved: 10 << 20, Elapsed: 2 * time.Second})
	r.Step(prewarm.Tally{Done: 100, Resumed: 50, Failed: 2, Bytes: 3 << 20, Saved: 20 << 20, Elapsed: 10 * time.Second})
	r.Step(prewarm.Tally{Done: 101, Resumed: 50, Failed: 2, Bytes: 3 << 20, Saved: 20 << 20, Elapsed: 11 * time.Second})
	r.Step(prewarm.Tally{Done: 200, Resumed: 50, Failed: 2, Bytes: 4 << 20, Saved: 20 << 20, Elapsed: 30 * time.Second})
	r.Begin(prewarm.Verifying, 198)
	r.Step(prewarm.Tally{Done: 198, Bytes: 4 << 20, Elapsed: time.Second})
	r.Close()
	r.Close()
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	play(NewLines(&b))
	const want = `prewarm: looking
prewarm: looking: pages 3, requests and sources 60
prewarm: cannot read http://a/b: status 500
prewarm: looking: pages 4, requests and sources 70, 1 failed
prewarm: warming: 200
prewarm: warming: 100/200 (50 %), 20.0s left, 2 failed, 5.0/s, 3.00 MiB, saved 20.0 MiB, 50 done earlier
prewarm: warming: 200/200 (100 %), 2 failed, 5.0/s, 4.00 MiB, saved 20.0 MiB, 50 done earlier
prewarm: verifying: 198
prewarm: verifying: 198/198 (100 %), 198.0/s
`
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
}

// What a pipe gets has no control characters, whatever the environment says.
func TestPipesGetLines(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	play(New(w, func(string) string { return "xterm" }))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil || bytes.ContainsAny(out, "\r\x1b") || !bytes.Contains(out, []byte("prewarm: warming: 200/200")) {
		t.Errorf("%q (%v)", out, err)
	}
	if _, ok := New(&bytes.Buffer{}, os.Getenv).(*Lines); !ok {
		t.Error("a buffer is a terminal")
	}
}

func TestBar(t *testing.T) {
	for _, color := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			play(NewBar(&b, color, func() int { return 0 }))
			out := b.String()
			if got := strings.Contains(out, "\x1b[32m") && strings.Contains(out, "\x1b[31m"); got != color {
				t.Errorf("colors %t, want %t: %q", got, color, out)
			}
			for _, want := range []string{"looking pages 4, requests and sources 70, 1 failed", "\x1b[2K\rcannot read http://a/b: status 500\n", "100%", "warming 200/200, 2 failed, 5.0/s, 4.00 MiB, saved 20.0 MiB, 50 done earlier", "verifying 198/198"} {
				if !strings.Contains(strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[0m", "").Replace(out), want) {
					t.Errorf("%q is not in %q", want, out)
				}
			}
			if !strings.HasSuffix(out, "\n") || strings.HasSuffix(out, "\n\n") {
				t.Errorf("ends with %q: what follows belongs on a line of its own", out[max(0, len(out)-20):])
			}
			if strings.Contains(out, "[green]") || strings.Contains(out, "[reset]") {
				t.Errorf("names of colors are shown: %q", out)
			}
		})
	}
}

// A bar is not drawn for every step of a fast run.
func TestBarIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		bar := NewBar(&b, false, func() int { return 0 })
		bar.Begin(prewarm.Warming, 10000)
		for i := range 10000 {
			time.Sleep(100 * time.Microsecond)
			bar.Step(prewarm.Tally{Done: i + 1, Elapsed: time.Duration(i+1) * 100 * time.Microsecond})
		}
		bar.Close()
		if drawn := strings.Count(b.String(), "\r"); drawn > 40 || drawn < 10 {
			t.Errorf("drawn %d times in a second", drawn)
		}
	})
}

// terminal opens a pseudo-terminal: what is written to tty is read from pty.
func terminal(t *testing.T, columns uint16) (pty, tty *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = pty.Close() })
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(pty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pty, tty
}

func TestTerminals(t *testing.T) {
	for _, c := range []struct {
		env        map[string]string
		bar, color bool
		columns    int
	}{
		{map[string]string{"TERM": "xterm"}, true, true, 120},
		{map[string]string{"TERM": "xterm"}, true, true, 80},
		{map[string]string{"TERM": "xterm"}, true, true, 60},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, true, false, 80},
		{map[string]string{"TERM": "dumb"}, false, false, 80},
	} {
		pty, tty := terminal(t, uint16(c.columns))
		out := make(chan []byte)
		go func() {
			b, err := io.ReadAll(pty)
			if err != nil && !errors.Is(err, unix.EIO) { // which is how Linux says that the other end is closed
				t.Error(err)
			}
			out <- b
		}()
		play(New(tty, func(name string) string { return c.env[name] }))
		if err := tty.Close(); err != nil {
			t.Fatal(err)
		}
		got := string(<-out)
		for line := range strings.FieldsFuncSeq(got, func(r rune) bool { return r == '\r' || r == '\n' }) {
			shown := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[0m", "", "\x1b[0K", "", "\x1b[2K", "").Replace(line)
			if c.bar && len([]rune(shown)) > c.columns {
				t.Errorf("%d columns: %q takes %d", c.columns, shown, len([]rune(shown)))
			}
		}
		if strings.Contains(got, "█") != c.bar || strings.Contains(got, "\x1b[32m") != c.color {
			t.Errorf("%v: %q", c.env, got)
		}
	}
}

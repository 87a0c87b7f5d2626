package jobs_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// The test binary runs itself as another process that shares the folder: childEnv names the folder, the file to
// which each finished job is appended, and the number of the first job to submit, or -1 to only work.
const childEnv = "IMGOPT_JOBS_TEST_CHILD"

// childMain works on the folder's jobs. A submitting child submits jobs without end, telling each that is stored on its
// standard output after Submit has returned; another says that it is ready, begins when told to or when its standard input
// ends, and ends when nothing is left to do.
func childMain() int {
	arg := strings.Split(os.Getenv(childEnv), "|")
	first, err := strconv.Atoi(arg[2])
	if err == nil {
		err = childRun(arg[0], arg[1], first)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func childRun(dir, ledger string, first int) error {
	out, err := os.OpenFile(ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	q, err := jobs.OpenFilesystem(jobs.FilesystemOptions{Dir: dir, Version: "test 1", Limits: queuetest.Roomy,
		Poll: 20 * time.Millisecond, Log: quiet})
	if err != nil {
		return err
	}
	if first < 0 {
		fmt.Println("ready")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	o := jobs.Defaults(1)
	o.Log = quiet
	d, err := jobs.New(o, q, func(_ context.Context, j jobs.Job) (string, error) {
		time.Sleep(rand.N(20 * time.Millisecond)) // real work: long enough to be killed in
		_, err := fmt.Fprintln(out, j.Spec.Href)
		return "", err
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if first >= 0 {
		for n, failures := first, uint64(0); ; n++ {
			if _, err := d.Submit(ctx, background(n)); err != nil {
				return err
			}
			s, err := d.Stats(ctx)
			if err != nil {
				return err
			}
			if s.Queue.StoreErrors == failures { // else it may be in memory only: on a starved machine the lock takes too long
				fmt.Println(background(n).Spec.Href)
			}
			failures = s.Queue.StoreErrors
		}
	}
	for {
		s, err := d.Stats(ctx)
		if err != nil {
			return err
		}
		if s.Queue.Background.Queued == 0 && s.Queue.Leased == 0 {
			return d.Close(ctx)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func child(t *testing.T, dir, ledger string, first int) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, exe)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d", childEnv, dir, ledger, first))
	c.Stderr = os.Stderr
	return c
}

// done counts how often each job is in a ledger.
func done(t *testing.T, ledger string) map[string]int {
	t.Helper()
	b, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for href := range strings.Lines(string(b)) {
		count[strings.TrimSuffix(href, "\n")]++
	}
	return count
}

// TestSubmittedJobsSurviveKill: processes are killed while they submit and work; the last one does what is left.
// Every job whose Submit returned has then been done.
func TestSubmittedJobsSurviveKill(t *testing.T) {
	t.Parallel()
	dir, ledger := filepath.Join(t.TempDir(), "jobs"), filepath.Join(t.TempDir(), "ledger")
	submitted := map[string]bool{}
	for round := range 4 {
		c := child(t, dir, ledger, 1000*round)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		killAfter := 40 + rand.IntN(40)
		for n := 1; lines.Scan(); n++ {
			submitted[lines.Text()] = true
			if n == killAfter {
				if err := c.Process.Kill(); err != nil { // SIGKILL
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended with %v", err)
		}
	}
	before := len(done(t, ledger))
	if err := child(t, dir, ledger, -1).Run(); err != nil {
		t.Fatal(err)
	}
	after := done(t, ledger)
	for href := range submitted {
		if after[href] == 0 {
			t.Errorf("%s was submitted and is lost", href)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*")) // neither jobs nor traces of the dead
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	t.Logf("%d submitted, %d done before the last process", len(submitted), before)
	if len(submitted) < 160 || before >= len(submitted) {
		t.Error("the processes were not killed in the middle of work")
	}
}

// TestProcessesShareFolder: without crashes each job is done once, by whichever process.
func TestProcessesShareFolder(t *testing.T) {
	t.Parallel()
	const count = 300
	dir, ledgers := filepath.Join(t.TempDir(), "jobs"), t.TempDir()
	q := openFS(t, dir)
	for n := range count {
		it := jobs.Item{Job: background(n), EnqueuedAt: time.Now()}
		it.Priority = jobs.Background
		if joined, err := q.Enqueue(t.Context(), it); err != nil || joined {
			t.Fatalf("Enqueue: %v, %v", joined, err)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	var children []*exec.Cmd
	var begin []io.WriteCloser
	for n := range 2 {
		c := child(t, dir, filepath.Join(ledgers, strconv.Itoa(n)), -1)
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("the child said %q, %v", line, err)
		}
		children, begin = append(children, c), append(begin, in)
	}
	for _, in := range begin {
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	total := map[string]int{}
	for n, c := range children {
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		mine := done(t, filepath.Join(ledgers, strconv.Itoa(n)))
		t.Logf("process %d did %d", n, len(mine))
		if len(mine) == 0 {
			t.Errorf("process %d did nothing", n)
		}
		for href, times := range mine {
			total[href] += times
		}
	}
	for n := range count {
		if href := background(n).Spec.Href; total[href] != 1 {
			t.Errorf("%s was done %d times", href, total[href])
		}
	}
}

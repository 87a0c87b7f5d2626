package valkeytest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const childEnv = "IMGOPT_VALKEYTEST_CHILD"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	s := Start(t, Options{Persist: true})
	s.Do("SET", "a", "1")
	s.Restart()
	if got := s.Do("GET", "a"); got != "1" {
		t.Errorf("after a restart: %q", got)
	}
	if s.Do("GET", "b") != "" || s.Do("LRANGE", "b", "0", "-1") != "" {
		t.Error("nothing is not empty")
	}
	s.SetMaxMemory(1<<20, "noeviction")
	if _, err := s.Try("SET", "big", strings.Repeat("x", 2<<20)); err == nil || !strings.HasPrefix(err.Error(), "OOM ") {
		t.Errorf("a full server: %v", err)
	}
	s.Kill()
	if err := s.ping(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a dead server: %v", err)
	}
}

func TestPause(t *testing.T) {
	s := Start(t, Options{})
	s.Pause()
	answered := make(chan error, 1)
	go func() { answered <- s.ping() }()
	select {
	case err := <-answered:
		t.Errorf("a paused server: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.Continue()
	if err := <-answered; err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

func TestPasswords(t *testing.T) {
	for _, o := range []Options{{Password: "se/cret"}, {User: "imgopt", Password: "secret"}} {
		s := Start(t, o)
		if got := s.Do("ACL", "WHOAMI"); got != "default" && got != o.User {
			t.Errorf("%+v: user %q", o, got)
		}
		if _, err := do(s.Addr(), nil, nil, "PING"); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
			t.Errorf("%+v: without a password: %v", o, err)
		}
	}
}

func TestTLS(t *testing.T) {
	s := Start(t, Options{TLS: NewTLS(t)})
	if s.Do("PING") != "PONG" {
		t.Error("no answer")
	}
	if _, err := do(s.Addr(), nil, nil, "PING"); err == nil {
		t.Error("an answer without TLS")
	}
}

func TestSentinels(t *testing.T) {
	s := Sentinels(t, Options{Password: "secret"})
	first := s.Primary()
	if first != s.Servers[0] {
		t.Error("the primary is another")
	}
	first.Kill()
	if second := s.Failover(first); second != s.Servers[1] {
		t.Error("the replica did not take over")
	}
}

func TestCluster(t *testing.T) {
	c := StartCluster(t, 3, 0, true, Options{})
	c.Nodes[1].Kill()
	Eventually(t, 20*time.Second, func() error {
		if strings.Contains(c.Nodes[0].Do("CLUSTER", "INFO"), "cluster_state:fail") {
			return nil
		}
		return errNotYet
	})
	c.Nodes[1].Restart()
	Eventually(t, 20*time.Second, c.Settled)
}

// What was started ends even if the test's process is killed.
func TestEndsWithTheProcess(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		s := Start(t, Options{})
		fmt.Println("pid", s.current().PID())
		select {}
	}
	Need(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestEndsWithTheProcess$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			if pid, err = strconv.Atoi(rest); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if pid == 0 {
		t.Fatal("the child said nothing")
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the server does not run: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	Eventually(t, 10*time.Second, func() error {
		// an orphan that has ended may stay a zombie where nothing collects it
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(status), ") Z ") {
			return nil
		}
		return errNotYet
	})
}

func TestNeed(t *testing.T) {
	t.Setenv(binaryEnv, "no-such-server")
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		fake := &recorder{TB: t}
		done := make(chan struct{})
		go func() { defer close(done); Need(fake) }()
		<-done
		if (fake.ended == "fatal") != (ci != "") || fake.ended == "" || !strings.Contains(fake.said, "scripts/valkey") {
			t.Errorf("CI=%q: %s %q", ci, fake.ended, fake.said)
		}
	}
}

// recorder notes how a test would have ended.
type recorder struct {
	testing.TB
	ended, said string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	if r.ended == "" {
		r.ended, r.said = "fatal", fmt.Sprintf(format, args...)
	}
}

func (r *recorder) Skipf(format string, args ...any) {
	if r.ended == "" {
		r.ended, r.said = "skip", fmt.Sprintf(format, args...)
	}
}

//go:build e2e

package stress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imgopt/testkit"
	"imgopt/testkit/child"
)

// service is a running `imgopt serve`.
type service struct {
	*child.Process
	addr, admin string // host:port of the listeners
	log         string // file
}

// patience is how long a test waits for what should happen at once, on a machine that may be busy.
const patience = 30 * time.Second

// anyHost lets absolute urls lead anywhere.
const anyHost = `--images.remotePatterns=[{hostname: "**"}]`

// startService starts `imgopt serve` on free ports and waits until it is ready.
func startService(t testing.TB, flags ...string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{log: filepath.Join(dir, "log")}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	flags = append([]string{"serve", "--listen=127.0.0.1:0", "--adminListen=127.0.0.1:0", "--log.format=json", "--log.access=false"}, flags...)
	cmd := exec.Command(testkit.Program(t, "../bin/imgopt"), flags...)
	cmd.Env = []string{"TMPDIR=" + dir}
	cmd.Stderr = log
	if s.Process, err = child.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cleanup(t) })
	eventually(t, "the service listens", func() bool {
		s.mustRun(t)
		return s.readAddresses(t)
	})
	eventually(t, "the service is ready", func() bool {
		a, err := get("http://" + s.admin + "/readyz")
		return err == nil && a.status == http.StatusOK
	})
	return s
}

// cleanup ends the service, which must have lived until now and must not have panicked.
func (s *service) cleanup(t testing.TB) {
	_ = s.Signal(syscall.SIGTERM) // it may have been ended by the test
	select {
	case <-s.Ended():
	case <-time.After(patience):
		t.Error("imgopt does not end")
		_ = s.Kill()
	}
	log, err := os.ReadFile(s.log)
	if err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"panic: ", "panic serving", "fatal error: ", "DATA RACE"} {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			t.Errorf("imgopt wrote %q:\n%s", bad, log[max(0, i-500):min(len(log), i+3000)])
		}
	}
	if t.Failed() {
		t.Logf("the end of imgopt's log:\n%s", log[max(0, len(log)-3000):])
	}
}

// readAddresses looks for the listeners in the log.
func (s *service) readAddresses(t testing.TB) bool {
	log, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(log) {
		var l struct{ Msg, What, Address string }
		if json.Unmarshal(line, &l) == nil && l.Msg == "listening" {
			switch l.What {
			case "public":
				s.addr = l.Address
			case "admin":
				s.admin = l.Address
			}
		}
	}
	return s.addr != "" && s.admin != ""
}

// mustRun ends the test when the service has died.
func (s *service) mustRun(t testing.TB) {
	t.Helper()
	if !s.Alive() {
		t.Fatalf("imgopt has ended: %v", s.State())
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if err := waitFor(patience, holds); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

var errNever = errors.New("not so for too long")

// waitFor asks until a condition holds or the time is over.
func waitFor(limit time.Duration, holds func() bool) error {
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%w (%v)", errNever, limit)
		}
	}
	return nil
}

// known are the flags that the program under test has.
var known = struct {
	sync.Once
	help string
}{}

// optional returns those of the flags (given as "--name=value") that the program under test has.
func optional(t testing.TB, flags ...string) []string {
	t.Helper()
	var have []string
	for _, flag := range flags {
		if hasFlag(t, flag) {
			have = append(have, flag)
		}
	}
	return have
}

func hasFlag(t testing.TB, flag string) bool {
	t.Helper()
	known.Do(func() {
		help, err := exec.Command(testkit.Program(t, "../bin/imgopt"), "serve", "--help").CombinedOutput()
		if err != nil {
			t.Fatalf("imgopt serve --help: %v", err)
		}
		known.help = string(help)
	})
	name, _, _ := strings.Cut(flag, "=")
	return strings.Contains(known.help, name+" ")
}

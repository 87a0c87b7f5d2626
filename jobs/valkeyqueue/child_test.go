package valkeyqueue_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

// A child of the test leases a job, says so, and waits to be killed.
const childEnv, childPrefix = "VALKEYQUEUE_TEST_CHILD", "VALKEYQUEUE_TEST_PREFIX"

func child() int {
	if err := leaseForever(os.Getenv(childEnv), os.Getenv(childPrefix)); err != nil {
		fmt.Println(err)
	}
	return 1
}

func leaseForever(url, prefix string) error {
	address, err := valkey.ParseURL(url)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	c, err := valkey.Open(valkey.Options{Address: address, Prefix: prefix, Log: log})
	if err != nil {
		return err
	}
	q, err := valkeyqueue.Open(valkeyqueue.Options{Client: c, Version: "test 1", Limits: queuetest.Roomy, Worker: true,
		Replica: "child", Beat: testBeat, Log: log})
	if err != nil {
		return err
	}
	l, err := q.Lease(context.Background(), jobs.Background, time.Minute)
	if err != nil {
		return err
	}
	fmt.Println("leased", l.Spec.Href)
	_, err = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	return err
}

// The job of a killed process is another's at once, not only when its lease expires, and the attempt counts.
func TestKilledReplica(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	q := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Worker = false })
	told, cancel := q.Await(key(1))
	defer cancel()
	enqueue(t, q, item(1, jobs.Background), false)

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+s.URL(), childPrefix+"="+prefix)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _, err := bufio.NewReader(out).ReadLine()
	if err != nil || string(line) != "leased /1.png" {
		t.Errorf("the child said %q, %v", line, err)
	}
	enqueue(t, q, item(1, jobs.Interactive), true)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	began := time.Now()
	worker := open(t, s.URL(), prefix)
	l := lease(t, worker, jobs.Interactive, 1) // somebody waits for it by now
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it was another's after %v", took)
	}
	if l.Attempt != 2 {
		t.Errorf("attempt %d", l.Attempt)
	}
	complete(t, worker, l, done)
	ends(t, told)
	valkeytest.Eventually(t, 5*time.Second, func() error {
		all, err := q.Versions(t.Context())
		if err == nil && len(all[0].Replicas) != 2 {
			err = fmt.Errorf("replicas: %+v", all[0].Replicas)
		}
		return err
	})
}

// A process that only its network was cut off: what it had leased is another's, what it waits for it learns when it is
// back, and it goes on working.
func TestCutOff(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	proxy := valkeytest.NewProxy(t, s.Addr())
	a, b := open(t, proxy.URL(), prefix), open(t, s.URL(), prefix)
	enqueue(t, a, item(1, jobs.Background), false)
	lost := lease(t, a, jobs.Background, 1)
	told, cancel := a.Await(key(2))
	defer cancel()
	enqueue(t, a, item(2, jobs.Interactive), false)
	l := lease(t, b, jobs.Interactive, 2)
	proxy.Cut()
	waitFor(t, a, false)
	complete(t, b, l, done)
	l = lease(t, b, jobs.Background, 1)
	if l.Attempt != 2 {
		t.Errorf("attempt %d", l.Attempt)
	}
	if b.Peers() != 0 {
		t.Errorf("%d peers", b.Peers())
	}
	wantUnavailable(t, a.Complete(t.Context(), lost, jobs.Outcome{})) // it is told later, in vain
	proxy.Mend()
	waitUp(t, a)
	if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
		t.Errorf("ended with %+v", end)
	}
	if err := a.Extend(t.Context(), lost, time.Minute); !errors.Is(err, jobs.ErrLeaseLost) {
		t.Errorf("renewed a lost lease: %v", err)
	}
	complete(t, b, l, done)
	enqueue(t, b, item(3, jobs.Interactive), false)
	complete(t, a, lease(t, a, jobs.Interactive, 3), done)
}

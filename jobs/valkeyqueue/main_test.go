package valkeyqueue_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	// tests of several servers wait for these most of the time
	if err := flag.Set("test.parallel", "40"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, valkeytest.Leaks()...)
}

var prefixes atomic.Int64

// newPrefix keeps tests that share a server apart.
func newPrefix() string { return fmt.Sprintf("test%d:", prefixes.Add(1)) }

// connect opens a client that is closed when the test ends.
func connect(t testing.TB, url, prefix string) *valkey.Client {
	t.Helper()
	address, err := valkey.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := valkey.Open(valkey.Options{Address: address, Prefix: prefix, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the client: %v", err)
		}
	})
	return c
}

// testBeat is quick, so that tests are. A replica is dead after five of them.
const testBeat = 200 * time.Millisecond

// open opens a queue with a client of its own, as a process has it, that is up.
func open(t testing.TB, url, prefix string, change ...func(*valkeyqueue.Options)) *valkeyqueue.Queue {
	t.Helper()
	q := openDown(t, url, prefix, change...)
	waitUp(t, q)
	return q
}

func openDown(t testing.TB, url, prefix string, change ...func(*valkeyqueue.Options)) *valkeyqueue.Queue {
	t.Helper()
	o := valkeyqueue.Options{Client: connect(t, url, prefix), Version: "test 1", Limits: queuetest.Roomy, Worker: true,
		Replica: "replica", Beat: testBeat, Log: slog.New(slog.DiscardHandler)}
	valkeyqueue.Patient(&o)
	for _, f := range change {
		f(&o)
	}
	q, err := valkeyqueue.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		began := time.Now()
		if err := q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
	return q
}

func waitUp(t testing.TB, q jobs.Remote) {
	t.Helper()
	waitFor(t, q, true)
}

// waitFor waits until the queue is up, or down.
func waitFor(t testing.TB, q jobs.Remote, want bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		up, changed := q.Up()
		if up == want {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("it is still %v that the queue is up", up)
		}
	}
}

func key(n int) jobs.Key {
	return jobs.KeyOf("test", jobs.Spec{Href: fmt.Sprintf("/%d.png", n), Width: 64, Quality: 75})
}

// item is the n-th job, with a deadline if somebody waits for it.
func item(n int, p jobs.Priority) jobs.Item {
	it := jobs.Item{
		Job: jobs.Job{Key: key(n), Spec: jobs.Spec{Href: fmt.Sprintf("/%d.png", n), Width: 64, Quality: 75, Format: "image/webp"},
			Priority: p},
		EnqueuedAt: time.Now(),
	}
	if p == jobs.Interactive {
		it.Deadline = it.EnqueuedAt.Add(30 * time.Second)
	}
	return it
}

func enqueue(t testing.TB, q jobs.Queue, it jobs.Item, wantJoined bool) {
	t.Helper()
	joined, err := q.Enqueue(context.Background(), it)
	if err != nil || joined != wantJoined {
		t.Fatalf("Enqueue(%s): joined %v, error %v; want joined %v", it.Spec.Href, joined, err, wantJoined)
	}
}

// lease leases a job that must be there or come soon.
func lease(t testing.TB, q jobs.Queue, p jobs.Priority, n int) jobs.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l, err := q.Lease(ctx, p, time.Minute)
	if err != nil {
		t.Fatalf("Lease(%v): %v", p, err)
	}
	if l.Key != key(n) {
		t.Fatalf("leased %s, want /%d.png", l.Spec.Href, n)
	}
	return l
}

func none(t testing.TB, q jobs.Queue, p jobs.Priority) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*testBeat)
	defer cancel()
	if l, err := q.Lease(ctx, p, time.Minute); err == nil {
		t.Fatalf("leased %s, want none", l.Spec.Href)
	}
}

func complete(t testing.TB, q jobs.Queue, l jobs.Lease, o jobs.Outcome) {
	t.Helper()
	if err := q.Complete(context.Background(), l, o); err != nil {
		t.Fatalf("Complete(%s): %v", l.Spec.Href, err)
	}
}

// ends waits for news.
func ends(t testing.TB, c <-chan jobs.Ending) jobs.Ending {
	t.Helper()
	select {
	case e := <-c:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no end came")
		panic("unreachable")
	}
}

// silent checks that there is no news.
func silent(t testing.TB, c <-chan jobs.Ending) {
	t.Helper()
	select {
	case e := <-c:
		t.Fatalf("an end came: %+v", e)
	default:
	}
}

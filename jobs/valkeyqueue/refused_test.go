package valkeyqueue_test

import (
	"errors"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

// A server that refuses what the queue does, as one with too few rights, is as good as none; there is one line in the
// log when that begins and one when it ends.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix, log := newPrefix(), &valkeytest.Log{}
	q := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Log = log.Logger() })
	s.Do("ACL", "SETUSER", "default", "-evalsha", "-eval")
	waitFor(t, q, false)
	for n := range 3 {
		_, err := q.Enqueue(t.Context(), item(n, jobs.Interactive))
		wantUnavailable(t, err)
	}
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if log.Count("fails") == 0 {
			return errors.New("nothing is logged")
		}
		return nil
	})
	time.Sleep(5 * testBeat) // some more beats must not be told of
	s.Do("ACL", "SETUSER", "default", "+evalsha", "+eval")
	waitUp(t, q)
	enqueue(t, q, item(1, jobs.Interactive), false)
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if log.Count("fails") != 1 || log.Count("works again") != 1 || log.Count("\n") != 2 {
			return errors.New(log.String())
		}
		return nil
	})
}

// The rights that the package's documentation names are enough.
func TestFewRights(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	s.Do("ACL", "SETUSER", "app", "on", ">secret", "~"+prefix+"*", "&"+prefix+"*", "-@all", "+@scripting", "+@stream", "+@hash",
		"+@sortedset", "+@string", "+@keyspace", "+@connection", "+time", "+ssubscribe", "+sunsubscribe", "+spublish")
	url := "valkey://app:secret@" + s.Addr()
	web, worker := open(t, url, prefix), open(t, url, prefix)
	passOn(t, web, worker)
	for _, q := range []*valkeyqueue.Queue{web, worker} {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

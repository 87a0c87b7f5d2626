package valkeyqueue_test

import (
	"fmt"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

// hosts gives each name of the suite a host in a shard of its own.
func hosts() func(string) string {
	taken := map[int]bool{valkeyqueue.ShardOf(jobs.Spec{Href: "/"}): true}
	chosen := map[string]string{}
	for _, name := range []string{"a", "b", "c", "modest", "greedy0", "greedy1", "greedy2"} {
		for i := 0; ; i++ {
			host := fmt.Sprintf("%s%d.example", name, i)
			if shard := valkeyqueue.ShardOf(jobs.Spec{Href: "https://" + host + "/", Absolute: true}); !taken[shard] {
				taken[shard], chosen[name] = true, host
				break
			}
		}
	}
	return func(name string) string { return chosen[name] }
}

func TestConformance(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	queuetest.Run(t, queuetest.Harness{
		Run:     func(t *testing.T, f func(*testing.T)) { t.Parallel(); f(t) },
		Unit:    200 * time.Millisecond,
		Shared:  true,
		Durable: true,

		OriginSlots: true,
		OriginRoom:  true,
		Host:        hosts(),
		Tolerance:   200 * time.Millisecond,
		Open: func(t *testing.T, l jobs.Limits) func() jobs.Queue {
			prefix := newPrefix()
			return func() jobs.Queue {
				return valkeyqueue.Fresh{Queue: open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Limits = l })}
			}
		},
	})
}

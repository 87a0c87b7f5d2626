//go:build e2e

package fleet

import (
	"testing"

	"imgopt/valkey/valkeytest"
)

// The sentinels make the replica the primary.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	set := valkeytest.Sentinels(t, valkeytest.Options{Password: "secret"})
	f := newFleet(t, set.URL()).run(3)
	w := f.constantly()
	w.suffer(fault{what: "primary killed", lose: func() {
		first := set.Primary()
		first.Kill()
		set.Failover(first)
	}, away: away(), warnings: 4})
	w.finish()
	f.all[0].queueEmpty()
}

// A cluster loses the node that has the queue: first one that nobody replaces, until it comes back empty; in the
// cluster with replicas one of these takes over.
func TestClusterNodeLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		replicas int
	}{{"without a replica", 0}, {"with a replica", 1}} {
		t.Run(c.name, func(t *testing.T) {
			cluster := valkeytest.StartCluster(t, 3, c.replicas, false, valkeytest.Options{})
			f := newFleet(t, cluster.URL()).run(3)
			w := f.constantly()
			w.onlyHits(func() { f.together(f.all, "before") })
			node := queueNode(t, cluster)
			x := fault{what: "a node lost " + c.name, lose: node.Kill, away: away(), warnings: 6}
			if c.replicas == 0 {
				x.noticed, x.back = (*replica).degraded, node.Restart
			}
			w.suffer(x)
			w.finish()
			f.all[0].queueEmpty()
		})
	}
}

// queueNode is the primary that has the queue.
func queueNode(t *testing.T, c *valkeytest.Cluster) *valkeytest.Server {
	t.Helper()
	for _, n := range c.Nodes[:c.Primaries] {
		reply, err := n.Try("KEYS", "*")
		if err != nil {
			t.Fatal(err)
		}
		keys, _ := reply.([]any)
		for _, key := range keys {
			if name, ok := key.(string); ok && n.Do("TYPE", name) == "stream" {
				return n
			}
		}
	}
	t.Fatal("no node has the queue")
	return nil
}

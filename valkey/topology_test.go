package valkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*valkeytest.Server){"killed": (*valkeytest.Server).Kill, "paused": (*valkeytest.Server).Pause} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := valkeytest.Sentinels(t, valkeytest.Options{Password: "secret"})
			c, log := open(t, s.URL(), quick)
			up(t, c)
			if h := c.Health(); h.Mode != "sentinel" {
				t.Errorf("mode %q", h.Mode)
			}
			mustSet(t, c, "a", "1")
			valkeytest.Eventually(t, 5*time.Second, func() error { // the replica has it too
				if s.Servers[1].Do("GET", "a") != "1" {
					return errors.New("not yet")
				}
				return nil
			})
			first := s.Primary()
			lose(first)
			began := time.Now()
			valkeytest.Eventually(t, 30*time.Second, func() error { return set(c, "b", "2") })
			t.Logf("writes work again %v after the loss", time.Since(began))
			mustGet(t, c, "a", "1")
			if second := s.Failover(first); second.Do("GET", "b") != "2" {
				t.Error("written to somewhere else")
			}
			first.Continue()
			waitState(t, c, valkey.Up)
			mustSet(t, c, "c", "3")
			if strings.Contains(log.String(), "secret") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// All sentinels gone: the primary is still there.
func TestSentinelsGone(t *testing.T) {
	t.Parallel()
	s := valkeytest.Sentinels(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	for _, sentinel := range s.Sentinels {
		sentinel.Kill()
	}
	for range 100 {
		mustSet(t, c, "a", "1")
	}
}

// keyOf returns a key in the slots of the cluster's node.
func keyOf(c *valkey.Client, cluster *valkeytest.Cluster, node int) string {
	for i := 0; ; i++ {
		key := c.Key(fmt.Sprint(i), "key")
		var slot int
		fmt.Sscan(cluster.Nodes[0].Do("CLUSTER", "KEYSLOT", key), &slot)
		if slot*cluster.Primaries/16384 == node {
			return key
		}
	}
}

func TestClusterNodeLost(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 0, false, valkeytest.Options{})
	c, log := open(t, strings.Split(cluster.URL(), ",")[0], quick) // one node tells of the others
	up(t, c)
	if h := c.Health(); h.Mode != "cluster" {
		t.Errorf("mode %q", h.Mode)
	}
	keys := []string{keyOf(c, cluster, 0), keyOf(c, cluster, 1), keyOf(c, cluster, 2)}
	for _, k := range keys {
		mustSet(t, c, k, "1")
	}
	for name, lose := range map[string]func(*valkeytest.Server){"killed": (*valkeytest.Server).Kill, "paused": (*valkeytest.Server).Pause} {
		before := log.Count("\n")
		lose(cluster.Nodes[1])
		var slow int
		valkeytest.Eventually(t, 10*time.Second, func() error {
			began := time.Now()
			_, err := get(c, keys[1])
			if took := time.Since(began); took > 100*time.Millisecond {
				slow++
			}
			wantDown(t, err, "timeout", "network", "cluster_down", "not_connected")
			if c.Health().State != valkey.Partly {
				return errors.New("nobody noticed")
			}
			return nil
		})
		if slow > 4 {
			t.Errorf("%s: %d commands were slow", name, slow)
		}
		slow = 0
		for range 100 {
			began := time.Now()
			mustGet(t, c, keys[0], "1")
			mustGet(t, c, keys[2], "1")
			if _, err := get(c, keys[1]); err == nil {
				t.Fatalf("%s: the node answered", name)
			}
			if time.Since(began) > 500*time.Millisecond {
				slow++
			}
		}
		if slow > 5 {
			t.Errorf("%s: of 100 times three commands %d were slow", name, slow)
		}
		if name == "killed" {
			cluster.Nodes[1].Restart()
		} else {
			cluster.Nodes[1].Continue()
		}
		valkeytest.Eventually(t, 20*time.Second, cluster.Settled)
		up(t, c)
		mustSet(t, c, keys[1], "1")
		if got := log.Count("\n") - before; got != 2 {
			t.Errorf("%s: %d lines:\n%s", name, got, log)
		}
	}
}

func TestClusterFailover(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 1, true, valkeytest.Options{})
	c, _ := open(t, cluster.URL(), quick)
	up(t, c)
	var keys []string
	for node := range 3 {
		keys = append(keys, keyOf(c, cluster, node))
		mustSet(t, c, keys[node], "1")
	}
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if cluster.Nodes[4].Do("DBSIZE") == "0" {
			return errors.New("the replica has nothing yet")
		}
		return nil
	})
	cluster.Nodes[1].Kill()
	began := time.Now()
	valkeytest.Eventually(t, 30*time.Second, func() error { return set(c, keys[1], "2") })
	t.Logf("writes to the lost node's slots work again after %v", time.Since(began))
	up(t, c)
	for _, k := range keys {
		if _, err := get(c, k); err != nil {
			t.Error(err)
		}
	}
}

// With the server's default, the loss of a node takes the whole cluster out of service.
func TestClusterDown(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 0, true, valkeytest.Options{})
	c, _ := open(t, cluster.URL(), quick)
	up(t, c)
	cluster.Nodes[1].Kill()
	valkeytest.Eventually(t, 20*time.Second, func() error {
		for i := range 200 {
			_ = set(c, fmt.Sprint(i), "1")
		}
		if h := c.Health(); h.State != valkey.Down {
			return errors.New(h.String())
		}
		return nil
	})
	cluster.Nodes[1].Restart()
	up(t, c)
	for i := range 200 {
		mustSet(t, c, fmt.Sprint(i), "1")
	}
}

func TestScriptInACluster(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 0, true, valkeytest.Options{})
	c, _ := open(t, cluster.URL())
	up(t, c)
	script := valkey.NewScript("redis.call('SET', KEYS[1], ARGV[1]); return redis.call('STRLEN', KEYS[2])", true)
	for i := range 30 {
		tag := fmt.Sprint(i)
		m, err := script.Run(t.Context(), c, 0, []string{c.Key(tag, "a"), c.Key(tag, "b")}, []string{"1"})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := m.ToInt64(); n != 0 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
}

package valkeytest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// MasterName is the name by which the sentinels of Sentinels know their primary.
const MasterName = "images"

// topologyWithin bounds the time in which servers find each other.
const topologyWithin = 30 * time.Second

// SentinelSet is a primary with replicas, watched by sentinels.
type SentinelSet struct {
	t testing.TB
	// Servers are the primary, as it was at first, and its replicas.
	Servers []*Server
	// Sentinels watch them.
	Sentinels []*Server
}

// Sentinels starts a primary, one replica and three sentinels, which replace the primary when it has been silent for
// half a second.
func Sentinels(t testing.TB, o Options) *SentinelSet {
	t.Helper()
	s := &SentinelSet{t: t}
	primary := Start(t, o)
	replica := o
	replica.Config = map[string]string{"replicaof": "127.0.0.1 " + strconv.Itoa(primary.port)}
	if o.Password != "" {
		replica.Config["masterauth"] = o.Password
	}
	s.Servers = []*Server{primary, Start(t, replica)}
	for range 3 {
		s.Sentinels = append(s.Sentinels, startSentinel(t, primary))
	}
	Eventually(t, topologyWithin, s.settled)
	return s
}

func startSentinel(t testing.TB, primary *Server) *Server {
	t.Helper()
	s := &Server{t: t}
	s.process = launch(t, func(dir string, port int) []string {
		conf := []string{
			"port " + strconv.Itoa(port), "bind 127.0.0.1", "dir " + dir, "daemonize no",
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", MasterName, primary.port),
			"sentinel down-after-milliseconds " + MasterName + " 500",
			"sentinel failover-timeout " + MasterName + " 3000",
		}
		if primary.o.Password != "" {
			conf = append(conf, "sentinel auth-pass "+MasterName+" "+primary.o.Password)
		}
		// a sentinel writes what it learns into its configuration
		return []string{writeFile(t, dir, "sentinel.conf", strings.Join(conf, "\n")+"\n"), "--sentinel"}
	}, s.pingPort)
	return s
}

// settled tells whether the replica is in step and every sentinel knows it and the other sentinels.
func (s *SentinelSet) settled() error {
	for _, r := range s.Servers[1:] {
		if status := r.Info("master_link_status"); status != "up" {
			return fmt.Errorf("the replica's link is %q", status)
		}
	}
	for _, sentinel := range s.Sentinels {
		known := sentinel.Do("INFO", "sentinel")
		if !strings.Contains(known, "status=ok") || !strings.Contains(known, "slaves=1,sentinels=3") {
			return fmt.Errorf("a sentinel knows only: %s", known)
		}
	}
	return nil
}

// URL returns the url by which a client finds the primary.
func (s *SentinelSet) URL() string {
	u, _ := url.Parse(s.Servers[0].URL())
	var hosts []string
	for _, sentinel := range s.Sentinels {
		hosts = append(hosts, sentinel.Addr())
	}
	u.Host, u.RawQuery = strings.Join(hosts, ","), "sentinel="+MasterName
	return u.String()
}

// Primary returns the server that the sentinels name now.
func (s *SentinelSet) Primary() *Server {
	s.t.Helper()
	address := strings.Split(s.Sentinels[0].Do("SENTINEL", "get-master-addr-by-name", MasterName), "\n")
	for _, server := range s.Servers {
		if len(address) == 2 && address[1] == strconv.Itoa(server.port) {
			return server
		}
	}
	s.t.Fatalf("no server of the set is the primary: %v", address)
	return nil
}

// Failover waits until another server than old is the primary.
func (s *SentinelSet) Failover(old *Server) *Server {
	s.t.Helper()
	var now *Server
	Eventually(s.t, topologyWithin, func() error {
		if now = s.Primary(); now == old {
			return errNotYet
		}
		if role := now.Info("role"); role != "master" {
			return fmt.Errorf("its role is %s", role)
		}
		return nil
	})
	return now
}

// Cluster is a set of primaries that share the slots, each with replicas.
type Cluster struct {
	t testing.TB
	// Nodes are the primaries, as they were at first, in the order of their slots, then their replicas in the order of
	// their primaries.
	Nodes []*Server
	// Primaries is how many of Nodes have slots at first.
	Primaries int
}

const slots = 16384

// StartCluster starts a cluster of the given number of primaries, at least three, each with the given number of
// replicas. With fullCoverage all slots are out of service when some are, which is the server's default.
func StartCluster(t testing.TB, primaries, replicas int, fullCoverage bool, o Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, Primaries: primaries}
	coverage := "no"
	if fullCoverage {
		coverage = "yes"
	}
	for range primaries * (1 + replicas) {
		node := o
		node.Config = map[string]string{
			"cluster-enabled": "yes", "cluster-node-timeout": "1000", "cluster-require-full-coverage": coverage,
			"cluster-port": strconv.Itoa(FreePort(t)), "cluster-config-file": "nodes.conf",
			"cluster-replica-validity-factor": "0", "cluster-replica-no-failover": "no",
		}
		for name, value := range o.Config {
			node.Config[name] = value
		}
		c.Nodes = append(c.Nodes, Start(t, node))
	}
	for i, n := range c.Nodes[:primaries] {
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		n.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/primaries), strconv.Itoa((i+1)*slots/primaries-1))
	}
	first := c.Nodes[0]
	for _, n := range c.Nodes[1:] {
		_, port, _ := net.SplitHostPort(n.Addr())
		first.Do("CLUSTER", "MEET", "127.0.0.1", port, n.o.busPort())
	}
	Eventually(t, topologyWithin, func() error { return c.know(len(c.Nodes)) })
	for i, n := range c.Nodes[primaries:] {
		id := c.Nodes[i%primaries].Do("CLUSTER", "MYID")
		// a node that has not heard of the other's role yet refuses
		Eventually(t, topologyWithin, func() error { _, err := n.Try("CLUSTER", "REPLICATE", id); return err })
	}
	Eventually(t, topologyWithin, c.Settled)
	return c
}

func (o Options) busPort() string { return o.Config["cluster-port"] }

func (c *Cluster) know(n int) error {
	for _, node := range c.Nodes {
		if got := strings.Count(node.Do("CLUSTER", "NODES"), " connected"); got != n {
			return fmt.Errorf("a node knows %d of %d", got, n)
		}
	}
	return nil
}

// Settled returns nil when every node that runs sees all slots served and its replication is in step.
func (c *Cluster) Settled() error {
	for _, n := range c.Nodes {
		if n.ended() {
			continue
		}
		info := n.Do("CLUSTER", "INFO")
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
			return errors.New("cluster: " + info)
		}
		if n.Info("role") == "slave" && n.Info("master_link_status") != "up" {
			return errors.New("a replica is not in step")
		}
	}
	return nil
}

// URL returns a url that names every node.
func (c *Cluster) URL() string {
	u, _ := url.Parse(c.Nodes[0].URL())
	var hosts []string
	for _, n := range c.Nodes {
		hosts = append(hosts, n.Addr())
	}
	u.Host = strings.Join(hosts, ",")
	return u.String()
}

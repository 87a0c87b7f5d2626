//go:build e2e

package fleet

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"imgopt/valkey/valkeytest"
)

// fleet is some replicas with one origin and one Valkey.
type fleet struct {
	t      testing.TB
	client *client
	origin *origin
	url    string // of Valkey
	all    []*replica
	next   int // numbers the variants that nobody has asked for yet
}

func newFleet(t testing.TB, url string) *fleet {
	t.Helper()
	return &fleet{t: t, client: newClient(t), origin: startOrigin(t), url: url}
}

// add makes a replica that does not run yet.
func (f *fleet) add(name string, flags ...string) *replica {
	f.t.Helper()
	r := newReplica(f.t, f.client, name, append([]string{
		"--storage.type=valkey", "--storage.url=" + f.url, "--origin=" + f.origin.url(), "--transform.workers=1",
	}, flags...)...)
	f.all = append(f.all, r)
	return r
}

// run adds and starts n replicas that do everything.
func (f *fleet) run(n int, flags ...string) *fleet {
	f.t.Helper()
	for range n {
		f.add(fmt.Sprintf("replica-%d", len(f.all)+1), flags...)
	}
	startAll(f.all...)
	return f
}

// startThree starts one server and three replicas.
func startThree(t testing.TB, o valkeytest.Options, flags ...string) (*fleet, *valkeytest.Server) {
	t.Helper()
	server := valkeytest.Start(t, o)
	return newFleet(t, server.URL()).run(3, flags...), server
}

// fresh returns variants that nobody has asked for yet.
func (f *fleet) fresh(n int) []variant {
	var all []variant
	for range n {
		f.next++
		all = append(all, variant{fmt.Sprintf("/new/%d.jpg", f.next), 256})
	}
	return all
}

// public are the replicas that answer clients.
func (f *fleet) public() []*replica {
	return slices.DeleteFunc(slices.Clone(f.all), func(r *replica) bool { return r.addr == "" })
}

// each calls f for all replicas at once.
func each(replicas []*replica, f func(*replica)) {
	var all sync.WaitGroup
	for _, r := range replicas {
		all.Go(func() { f(r) })
	}
	all.Wait()
}

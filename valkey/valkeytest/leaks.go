package valkeytest

import "go.uber.org/goleak"

// Leaks returns what goleak must not mind after a valkey.Client was closed: a cluster client of valkey-go, which is
// also what finds out that a server is none, looks at the topology, and closes connections it no longer needs, up to
// a few seconds later.
func Leaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*clusterClient)._refresh.func1"),
		goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*clusterClient).redirectOrNew.func1"),
	}
}

package main

import "testing"

func TestConnectionsWithin(t *testing.T) {
	for _, c := range []struct {
		wanted int
		files  uint64
		want   int
	}{
		{4096, 1 << 20, 4096}, {4096, 4096 + reservedDescriptors, 4096}, {4096, 4096, 4096 - reservedDescriptors},
		{4096, 1024, 512}, {10, 1024, 10}, {4096, 1, 1}, {4096, 1 << 63, 4096},
	} {
		if got := connectionsWithin(c.wanted, c.files); got != c.want {
			t.Errorf("%d connections with %d files: %d, want %d", c.wanted, c.files, got, c.want)
		}
	}
}

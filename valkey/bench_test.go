package valkey_test

import (
	"strconv"
	"strings"
	"testing"

	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

// BenchmarkGet is a round trip on loopback, alone and with others.
func BenchmarkGet(b *testing.B) {
	s := valkeytest.Start(b, valkeytest.Options{})
	c, _ := open(b, s.URL())
	up(b, c)
	for _, size := range []int{16, 50_000} {
		mustSet(b, c, "a", strings.Repeat("x", size))
		command := func(b valkey.Builder) valkey.Command { return b.Get().Key("a").Build() }
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Do(b.Context(), "a", 0, command); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(strconv.Itoa(size)+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.Do(b.Context(), "a", 0, command); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkDown is what a server that is known to be gone costs a command.
func BenchmarkDown(b *testing.B) {
	c, _ := open(b, "valkey://127.0.0.1:1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := get(c, "a"); err == nil {
			b.Fatal("there is a server")
		}
	}
}

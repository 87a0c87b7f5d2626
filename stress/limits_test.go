//go:build e2e

package stress

import (
	"fmt"
	"testing"
)

// limits are the sizes that a test configures, in bytes, and what follows from them.
type limits struct {
	Workers   int64 `json:"workers"`
	Body      int64 `json:"maximumResponseBody"`
	Cache     int64 `json:"cacheMemory"`
	Sources   int64 `json:"fetchMemoryLimit"`
	Responses int64 `json:"responsesMemoryLimit"`
	Decoding  int64 `json:"transformMemoryLimit"`
	Codec     int64 `json:"transformMaxMemory"`
}

// small are limits that a machine with little memory would have.
var small = limits{Workers: 2, Body: 8 * mib, Cache: 32 * mib, Sources: 64 * mib, Responses: 64 * mib, Decoding: 768 * mib, Codec: 512 * mib}

// flags are those that set the limits.
func (l limits) flags(t testing.TB) []string {
	set := func(name string, n int64) string { return fmt.Sprintf("--%s=%d", name, n) }
	flags := []string{set("transform.workers", l.Workers), set("images.maximumResponseBody", l.Body), set("cache.memory", l.Cache), set("transform.maxMemory", l.Codec)}
	return append(flags, optional(t, set("fetch.memoryLimit", l.Sources), set("responses.memoryLimit", l.Responses), set("transform.memoryLimit", l.Decoding))...)
}

// What a process takes besides what the configuration names.
const (
	// ownMemory is a service's program, libvips, Go's runtime and structures.
	ownMemory = 96 * mib
	// ownCodec is a codec process's: program, libvips, threads' stacks, what is neither source, result nor pixels.
	ownCodec = 96 * mib
	// perConnection is a connection's buffers in the service.
	perConnection = 64 << 10
	// garbage is what Go's collector (GOGC=100) lets live memory grow to before it collects.
	garbage = 2
	// largestResult is the largest image that the tests' requests give.
	largestResult = 32 * mib
)

// service is the memory that the service may take with that many connections: what it may hold of cache, sources and
// answers, with the garbage in between, and the areas it shares with the codecs.
func (l limits) service(connections int64) int64 {
	return ownMemory + garbage*(l.Cache+l.Sources+l.Responses) + l.Workers*(l.Body+largestResult) + connections*perConnection
}

// codec is the memory that one codec process may take: what it may allocate, and its view of the areas.
func (l limits) codec() int64 { return ownCodec + l.Codec + l.Body + largestResult }

// codecs is the private memory that all codec processes may take together.
func (l limits) codecs() int64 { return l.Workers*ownCodec + max(l.Decoding, l.Codec) }

// check compares what was seen with what may be.
func (l limits) check(t testing.TB, seen peaks, connections int64) {
	t.Helper()
	if most := l.service(connections); seen.Service > most {
		t.Errorf("the service took %s, may take %s", mibs(seen.Service), mibs(most))
	}
	if most := l.codec(); seen.Codec > most {
		t.Errorf("a codec process took %s, may take %s", mibs(seen.Codec), mibs(most))
	}
	if most := l.codecs(); seen.Codecs > most && hasFlag(t, "--transform.memoryLimit") {
		t.Errorf("the codec processes took %s together, may take %s", mibs(seen.Codecs), mibs(most))
	}
}

// rows shows both.
func (l limits) rows(seen peaks, connections int64) [][]string {
	return [][]string{
		{"memory", "limit", "peak"},
		{"service", mibs(l.service(connections)), mibs(seen.Service)},
		{"one codec process", mibs(l.codec()), mibs(seen.Codec)},
		{"all codec processes, private", mibs(l.codecs()), mibs(seen.Codecs)},
		{"together", "", mibs(seen.Together)},
	}
}

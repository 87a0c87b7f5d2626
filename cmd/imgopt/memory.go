package main

import (
	"log/slog"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"imgopt/config"
)

// memoryPlan says who may take how much, in bytes. What the configuration leaves open is a share of what there is:
// in a container the shares add up to nearly all of its limit, the rest is for the program itself.
type memoryPlan struct {
	// total is what the process and its codecs may use, 0 if nobody knows; container says that a limit enforces it.
	total     int64
	container bool
	// heap is where the Go runtime begins to collect harder, 0 for no such limit.
	heap int64
	// cache, sources and responses are parts of the heap: the memory tier, and the limits of the keys
	// fetch.memoryLimit and responses.memoryLimit.
	cache, sources, responses int64
	// decode bounds the estimated memory of all images in codecs, codec what one process may allocate.
	decode, codec int64
}

// Shares of a container's memory, and bounds of what they come to.
const (
	cacheShare  = 6  // one sixth
	bytesShare  = 12 // one twelfth each for sources and responses
	heapPercent = 45
	codecShare  = 2 // one half for decoding

	// Of a process without codecs.
	cacheShareWeb  = 3
	heapPercentWeb = 85

	mostBytes  = 512 << 20
	leastBytes = 16 << 20
	mostCodec  = 2 << 30
	// leastCodec is what a codec process needs to start and decode a usual photo: its threads' stacks count.
	leastCodec = 256 << 20
)

// planMemory makes the plan. cacheGiven says that somebody chose the size of the memory cache.
func planMemory(c *config.Config, cacheGiven bool, total int64, container bool) memoryPlan {
	p := memoryPlan{
		total: total, container: container,
		cache: int64(c.Cache.Memory), sources: int64(c.Fetch.MemoryLimit), responses: int64(c.Responses.MemoryLimit),
		decode: int64(c.Transform.MemoryLimit), codec: int64(c.Transform.MaxMemory),
	}
	cacheOf, heap := int64(cacheShare), int64(heapPercent)
	if c.Role == config.RoleWeb { // which has no codecs
		cacheOf, heap = cacheShareWeb, heapPercentWeb
	}
	if container {
		p.heap = total / 100 * heap
		if !cacheGiven {
			p.cache = min(p.cache, total/cacheOf)
		}
	}
	for _, limit := range []*int64{&p.sources, &p.responses} {
		if *limit == 0 {
			*limit = mostBytes
			if total > 0 {
				*limit = min(max(total/bytesShare, leastBytes), mostBytes)
			}
		}
	}
	if c.Role == config.RoleWeb {
		p.decode, p.codec = 0, 0
		return p
	}
	if p.decode == 0 && total > 0 {
		p.decode = max(total/codecShare, leastCodec)
	}
	if p.codec == 0 {
		p.codec = mostCodec
		if p.decode > 0 {
			p.codec = min(max(p.decode, leastCodec), mostCodec)
		}
	}
	return p
}

// sum is what the plan comes to without the program itself.
func (p memoryPlan) sum() int64 { return p.cache + p.sources + p.responses + p.decode }

// availableMemory is the cgroup's limit or, where there is none, what the machine has.
func availableMemory() (total int64, container bool) {
	machine, err := memlimit.FromSystem()
	if err != nil {
		machine = 0
	}
	limit, err := memlimit.FromCgroup()
	if err != nil || limit == 0 || machine > 0 && limit >= machine {
		return int64(machine), false
	}
	return int64(limit), true
}

// apply tells the Go runtime its share (it reads the CPU quota of a cgroup itself, but not the memory limit) and the
// log what was decided.
func (p memoryPlan) apply(log *slog.Logger) {
	if p.heap > 0 && debug.SetMemoryLimit(-1) == unlimited { // GOMEMLIMIT wins
		debug.SetMemoryLimit(p.heap)
	}
	size := func(n int64) string {
		if n >= 10<<20 {
			n = n >> 20 << 20 // for people
		}
		return config.ByteSize(n).String()
	}
	log.Info("memory", "available", size(p.total), "container", p.container, "cache", size(p.cache), "sources", size(p.sources),
		"responses", size(p.responses), "decoding", size(p.decode), "one codec", size(p.codec))
	if p.total > 0 && p.sum() > p.total {
		log.Warn("the configured memory limits add up to more than there is", "sum", size(p.sum()), "available", size(p.total))
	}
}

// unlimited is what the runtime says without a limit.
const unlimited = 1<<63 - 1

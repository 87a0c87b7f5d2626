package main

import (
	"testing"

	"imgopt/config"
)

func defaults(t *testing.T, flags ...config.Flag) *config.Config {
	t.Helper()
	c, _, err := config.Load(config.Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// In a container of any size the plan fits, leaves something for the program, and starves nobody.
func TestMemoryPlanFits(t *testing.T) {
	for _, mib := range []int64{768, 1024, 2048, 4096, 16384, 262144} {
		p := planMemory(defaults(t), false, mib<<20, true)
		if p.sum() > p.total*9/10 {
			t.Errorf("%d MiB: the plan %+v takes %d", mib, p, p.sum())
		}
		if heap := p.cache + p.sources + p.responses; heap > p.heap*9/10 {
			t.Errorf("%d MiB: %d bytes live in a heap of %d", mib, heap, p.heap)
		}
		if p.sources < leastBytes || p.responses < leastBytes || p.codec < leastCodec || p.codec > mostCodec || p.cache < 64<<20 {
			t.Errorf("%d MiB: %+v", mib, p)
		}
	}
}

// A process without codecs sets nothing aside for them.
func TestMemoryPlanOfWeb(t *testing.T) {
	c := defaults(t, config.Flag{Name: "role", Value: "web"}, config.Flag{Name: "storage.type", Value: "valkey"}, config.Flag{Name: "storage.url", Value: "valkey://127.0.0.1"})
	p := planMemory(c, false, 512<<20, true)
	if p.decode != 0 || p.codec != 0 || p.cache < 160<<20 || p.heap < 400<<20 {
		t.Errorf("%+v", p)
	}
	if live := p.cache + p.sources + p.responses; live > p.heap*9/10 {
		t.Errorf("%d bytes live in a heap of %d", live, p.heap)
	}
}

func TestMemoryPlanKeepsWhatIsGiven(t *testing.T) {
	c := defaults(t, config.Flag{Name: "cache.memory", Value: "1GiB"}, config.Flag{Name: "fetch.memoryLimit", Value: "1MiB"},
		config.Flag{Name: "responses.memoryLimit", Value: "2MiB"}, config.Flag{Name: "transform.memoryLimit", Value: "3MiB"},
		config.Flag{Name: "transform.maxMemory", Value: "300MiB"})
	want := memoryPlan{total: 1 << 30, container: true, heap: (1 << 30) / 100 * heapPercent,
		cache: 1 << 30, sources: 1 << 20, responses: 2 << 20, decode: 3 << 20, codec: 300 << 20}
	if p := planMemory(c, true, 1<<30, true); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
}

func TestMemoryPlanWithoutAContainer(t *testing.T) {
	c := defaults(t)
	if p := planMemory(c, false, 64<<30, false); p.heap != 0 || p.cache != 256<<20 || p.sources != mostBytes || p.decode != 32<<30 || p.codec != mostCodec {
		t.Errorf("64 GiB: %+v", p)
	}
	if p := planMemory(c, false, 0, false); p.heap != 0 || p.decode != 0 || p.codec != mostCodec || p.sources != mostBytes {
		t.Errorf("unknown: %+v", p)
	}
}

package valkey

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	for _, tt := range []struct {
		name, outcomes string // x failed, . succeeded
		broke          bool
	}{
		{"all well", "....................", false},
		{"two in a row", "..xx..xx.", false},
		{"three in a row", "..xxx", true},
		{"half of sixteen", "x.x.x.x.x.x.x.x", true},
		{"a third of sixteen", "x..x..x..x..x..x..x..x..x..x..x..x..x..x..", false},
		{"long ago", "xx.xx.xx................x.x.", false},
	} {
		var b breaker
		broke := 0
		for _, o := range tt.outcomes {
			if b.record(o == 'x') {
				broke++
			}
		}
		if (broke == 1) != tt.broke || broke > 1 || b.broken.Load() != tt.broke {
			t.Errorf("%s: broke %d times", tt.name, broke)
		}
		b.close(time.Now())
		if b.broken.Load() || b.record(true) || b.record(true) {
			t.Errorf("%s: what was before it was closed still counts", tt.name)
		}
	}
}

func TestBreakerBreaksOnce(t *testing.T) {
	var b breaker
	var wg sync.WaitGroup
	broke := make(chan bool, 1000)
	for range 10 {
		wg.Go(func() {
			for range 100 {
				if b.record(true) {
					broke <- true
				}
			}
		})
	}
	wg.Wait()
	if len(broke) != 1 {
		t.Errorf("it broke %d times", len(broke))
	}
}

// Probes come quickly at first and then every second; a breaker that breaks again and again waits longer before them.
func TestBreakerProbes(t *testing.T) {
	var b breaker
	now := time.Now()
	b.opened(now)
	if got := b.probeAt.Sub(now); got != firstProbe {
		t.Errorf("first probe after %v", got)
	}
	for _, want := range []time.Duration{200, 400, 800, 1000, 1000} {
		b.probed(now)
		if got := b.probeAt.Sub(now); got != want*time.Millisecond {
			t.Errorf("next probe after %v, want %v", got, want*time.Millisecond)
		}
	}
	for _, want := range []time.Duration{200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		b.close(now)
		now = now.Add(time.Second)
		b.opened(now)
		if got := b.probeAt.Sub(now); got != want*time.Millisecond {
			t.Errorf("broke again: probe after %v, want %v", got, want*time.Millisecond)
		}
	}
	b.close(now)
	now = now.Add(steady)
	b.opened(now)
	if got := b.probeAt.Sub(now); got != firstProbe {
		t.Errorf("after it was well for long: probe after %v", got)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err    error
		kind   error
		reason string
	}{
		{context.DeadlineExceeded, ErrDown, "timeout"},
		{errors.New("EOF"), ErrDown, "network"},
	} {
		e, ok := classify(tt.err).(*Error)
		if !ok || e.Kind != tt.kind || e.Reason != tt.reason || !errors.Is(e, tt.err) || !errors.Is(e, tt.kind) {
			t.Errorf("%v: got %v", tt.err, e)
		}
	}
	if classify(nil) != nil || classify(ErrNil) != ErrNil {
		t.Error("what is no failure is classified")
	}
	for _, e := range []*Error{errNotConnected, errBusy, {Reason: "refused", Err: errors.New("WRONGTYPE")}} {
		if e.Error() == "" || len(e.Unwrap()) != 1 {
			t.Errorf("%#v", e)
		}
	}
}

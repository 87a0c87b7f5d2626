package optimizer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/admission"
	"imgopt/optimizer"
	"imgopt/transform"
)

// slow is an engine that notes how many are in it at once.
type slow struct {
	inside, most atomic.Int64
	hold         chan struct{}
	fail         error
}

func (s *slow) Encode(ctx context.Context, _ []byte, _ transform.Spec) ([]byte, error) {
	s.most.Store(max(s.most.Load(), s.inside.Add(1)))
	defer s.inside.Add(-1)
	select {
	case <-s.hold:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return []byte("encoded"), s.fail
}

// Whatever happens to jobs, they leave the gate and give their bytes back.
func TestGatesAreLeft(t *testing.T) {
	large := append(photo(t, 1), bytes.Repeat([]byte{0}, 100<<10)...) // what follows the end of a JPEG does no harm
	for name, fail := range map[string]error{"success": nil, "image": &transform.CodecError{Message: "broken"}, "engine": errors.New("no codec")} {
		t.Run(name, func(t *testing.T) {
			engine := &slow{hold: make(chan struct{}), fail: fail}
			budget := admission.NewBudget(250 << 10) // two and a half sources
			gate, err := admission.NewGate(1, 0)
			if err != nil {
				t.Fatal(err)
			}
			o := newOrigin(t, serving(large))
			s := newService(t, o, func(opts *optimizer.Options) { opts.Engine, opts.Bytes, opts.Gate = engine, budget, gate })
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					p := params
					p.Href = fmt.Sprintf("/%d.jpg", i)
					_, err := s.Get(t.Context(), p)
					if (err != nil) != (name == "engine") {
						t.Error(err)
					}
				})
			}
			eventually(t, "waiting for bytes", func() bool { return budget.Stats().Waiting > 0 && gate.Stats().Inside == 1 })
			if b := budget.Stats(); b.Used > b.Limit+int64(2*len(large)) {
				t.Errorf("%+v", b)
			}
			close(engine.hold)
			wg.Wait()
			eventually(t, "all is given back", func() bool { return budget.Stats().Used == 0 && gate.Stats().Inside == 0 })
			if n := engine.most.Load(); n != 1 {
				t.Errorf("%d in the engine at once", n)
			}
		})
	}
}

// Sources of unknown length and of several megabytes do not take more than the budget and one of them.
func TestBytesInFlightAreBounded(t *testing.T) {
	const limit, size = 4 << 20, 3 << 20
	noise := make([]byte, size)
	_, _ = rand.Read(noise)
	source := append(photo(t, 2), noise...)
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		for part := source; len(part) > 0; part = part[min(len(part), 64<<10):] {
			_, _ = w.Write(part[:min(len(part), 64<<10)])
			w.(http.Flusher).Flush()
		}
	})
	budget := admission.NewBudget(limit)
	s := newService(t, o, func(opts *optimizer.Options) { opts.Bytes = budget })
	var most atomic.Int64
	done := make(chan struct{})
	var watcher, wg sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Microsecond):
				most.Store(max(most.Load(), budget.Stats().Used))
			}
		}
	})
	for i := range 20 {
		wg.Go(func() {
			p := params
			p.Href = fmt.Sprintf("/%d.jpg", i)
			if _, err := s.Get(t.Context(), p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(done)
	watcher.Wait()
	if n := most.Load(); n > limit+3*size || n < size {
		t.Errorf("%d bytes were held at once", n)
	}
	if b := budget.Stats(); b.Used != 0 || b.Waiting != 0 {
		t.Errorf("%+v", b)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// burstRequests come at once, all for one variant that nobody has asked for.
	burstRequests = 200
	burstWidth    = 828
)

// burstSample is one burst: seconds until the first, the median and the last answer, and fetches of the source.
type burstSample struct {
	First, P50, Last float64
	Good, Refused    int
	Fetches          int64
	CPU              float64
	Memory           int64
}

type burstResult struct {
	Requests int
	Peers    []burstPeer
}

type burstPeer struct {
	Name    string
	Samples []burstSample
}

// burst measures what identical cold requests cost.
func burst(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	up, dir, done, err := prepare([]string{photo})
	if err != nil {
		return err
	}
	defer done()
	result := &burstResult{Requests: burstRequests}
	if s.quick {
		result.Requests = burstRequests / 4
	}
	r.Burst = result
	peers := append([]peer{imgoptDisk(s, nameImgopt, dir), imgoptValkey(s, "imgopt, Valkey"), next(s, false), platformatic(s, "memory"), platformatic(s, "valkey"), ipx(s)}, elsewhere(s)...)
	result.Peers = make([]burstPeer, len(peers))
	for round := range s.rounds {
		for i := range peers {
			n := (i + round) % len(peers)
			b, err := runBurst(ctx, up, photo, peers[n], result.Requests)
			if err != nil {
				return fmt.Errorf("%s: %w", peers[n].name, err)
			}
			result.Peers[n].Name = peers[n].name
			result.Peers[n].Samples = append(result.Peers[n].Samples, b)
			fmt.Printf("burst, %s: last of %d after %.3f s, %d fetches, %d refused\n", peers[n].name, result.Requests, b.Last, b.Fetches, b.Refused)
		}
	}
	return nil
}

func runBurst(ctx context.Context, up *upstream, photo string, p peer, requests int) (b burstSample, err error) {
	st, err := p.start(ctx)
	if err != nil {
		return b, err
	}
	defer func() {
		var closed error
		b.Memory, closed = st.close()
		err = errors.Join(err, closed)
	}()
	format := "webp"
	if !p.makes(format) {
		format = "jpeg"
	}
	client := newClient(requests)
	defer client.CloseIdleConnections()
	if err := warmUp(ctx, client, st, up, photo, p, coldCase{format: format, width: burstWidth}); err != nil {
		return b, err
	}
	url := st.base + p.target(variant(up, photo, 1), burstWidth, format)
	took, answers, errs := make([]float64, requests), make([]answer, requests), make([]error, requests)
	fetches, cpu := up.fetches.Load(), st.cpu()
	release := make(chan struct{})
	var wg sync.WaitGroup
	var began time.Time
	for i := range requests {
		wg.Go(func() {
			<-release
			answers[i], errs[i] = get(ctx, client, url, accepts(format))
			took[i] = time.Since(began).Seconds()
		})
	}
	began = time.Now()
	close(release)
	wg.Wait()
	b.Fetches, b.CPU = up.fetches.Load()-fetches, st.cpu()-cpu
	var good []float64
	var first *answer
	for i := range requests {
		if status, ok := statusOf(errs[i]); ok {
			if status != 503 && status != 429 {
				return b, errs[i]
			}
			b.Refused++
			continue
		}
		if errs[i] != nil {
			return b, errs[i]
		}
		if first == nil {
			first = &answers[i]
		}
		if answers[i].sum != first.sum {
			return b, errors.New("answers of one burst differ")
		}
		good = append(good, took[i])
	}
	slices.Sort(good)
	b.Good, b.First, b.P50, b.Last = len(good), quantile(good, 0), quantile(good, 0.5), quantile(good, 1)
	return b, nil
}

package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// settle is how long to wait after a look before the next, so that a thousand purges do not make a thousand looks.
const settle = 20 * time.Millisecond

// again is how long to wait after a look that failed, if that is less than until the next one.
const again = time.Second

// look has the folder and the shared log looked at soon.
func (p *Purges) look() {
	select {
	case p.kick <- struct{}{}:
	default: // it will be
	}
}

// run keeps this process in step, until ctx ends.
func (p *Purges) run(ctx context.Context) {
	timer := time.NewTimer(0) // at once
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
		case <-timer.C:
		}
		next := p.o.Poll
		if err := p.step(ctx); err != nil {
			p.errs.Add(1) // the shared log's client says itself when it is away
			next = min(next, again)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
		timer.Reset(next/2 + rand.N(next/2+1))
	}
}

// step looks at folder and shared log once.
func (p *Purges) step(ctx context.Context) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	var failed error
	if p.file != nil {
		failed = p.readFile()
	}
	if p.o.Shared == nil {
		return failed
	}
	if err := p.sync(ctx); err != nil {
		return errors.Join(failed, err)
	}
	p.synced.Store(time.Now().UnixNano())
	return failed
}

// sync hands in what is pending and learns what is new. changing is held.
func (p *Purges) sync(ctx context.Context) error {
	if err := p.handIn(ctx); err != nil {
		return err
	}
	// Twice if the log was lost: after a merge it has another id.
	for range 2 {
		log, err := p.o.Shared.Read(ctx, p.sharedID, p.Mark())
		if err != nil {
			return err
		}
		var lost []PurgeRecord
		if log.Whole {
			lost = p.missing(log.Records)
		}
		if err := p.learn(log.Records); err != nil {
			return err
		}
		p.sharedID = log.ID
		if len(lost) == 0 {
			return nil
		}
		p.o.Log.Warn("cache: the shared log of purges has lost some", "lost", len(lost))
		if err := p.o.Shared.Merge(ctx, lost); err != nil {
			return err
		}
	}
	return nil
}

// handIn gives pending purges to the shared log. They get stamps there, later ones than here, and so hold once more
// for what was made here since: it cannot be told which replicas would otherwise keep what.
func (p *Purges) handIn(ctx context.Context) error {
	p.mu.RLock()
	waiting := p.set.waiting()
	p.mu.RUnlock()
	for _, r := range waiting {
		stamp, _, err := p.o.Shared.Append(ctx, r.Purge, p.Mark())
		if err != nil {
			return err
		}
		if err := p.keep(&PurgeRecord{Purge: r.Purge, Stamp: stamp}); err != nil {
			return err
		}
	}
	return nil
}

// learn applies and stores what others purged.
func (p *Purges) learn(records []PurgeRecord) error {
	p.mu.RLock()
	fresh := make([]PurgeRecord, 0, len(records))
	for _, r := range records {
		if p.set.get(r.Purge).stamp < r.Stamp && !p.set.covered(r) {
			fresh = append(fresh, r)
		}
	}
	p.mu.RUnlock()
	if len(fresh) == 0 {
		return nil
	}
	p.learned.Add(uint64(len(fresh)))
	for _, r := range fresh {
		p.o.Log.Info("cache: purged by another replica", "what", r.Purge.String(), "stamp", r.Stamp)
	}
	p.apply(fresh...) // now, and even if they cannot be stored
	return p.store(func() []PurgeRecord { return fresh })
}

// missing returns what this process knows and the whole shared log does not: it was lost, with the server's memory or
// in a fail-over.
func (p *Purges) missing(all []PurgeRecord) []PurgeRecord {
	theirs := newPurgeSet()
	for _, r := range all {
		theirs.add(r)
	}
	var lost []PurgeRecord
	for _, r := range p.records() {
		if !r.Pending && !theirs.covered(r) {
			lost = append(lost, r)
		}
	}
	return lost
}

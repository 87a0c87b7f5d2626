package valkey

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	vk "github.com/valkey-io/valkey-go"
)

// rebuildAfter is how long nothing at all may work before valkey-go's client is replaced by a new one, which begins
// again from the configured addresses: a name may by then stand for another machine.
const rebuildAfter = 10 * time.Second

// noticed makes known that a breaker broke by e, and has it probed.
func (c *Client) noticed(e *Error) {
	c.mu.Lock()
	c.why = e
	c.mu.Unlock()
	c.report()
	select {
	case c.broken <- struct{}{}:
	default: // told already
	}
}

// run connects, and then probes what is broken until it works again. It ends with the client.
func (c *Client) run() {
	defer c.closeInner()
	if !c.connect() {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	downSince := time.Time{}
	for {
		next := c.probeAll()
		now := time.Now()
		if c.Health().State != Down {
			downSince = time.Time{}
		} else if downSince.IsZero() {
			downSince = now
		} else if now.Sub(downSince) > rebuildAfter {
			c.rebuild()
			downSince = now
		}
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-c.base.Done():
			return
		case <-c.broken:
		case <-due:
		}
	}
}

// connect makes the first connection, however long that takes. It returns false when the client is closed.
func (c *Client) connect() bool {
	for pause := firstProbe; ; pause = min(2*pause, maxBetween) {
		inner, err := c.newInner()
		if err == nil {
			c.cluster.Store(inner.Mode() == vk.ClientModeCluster)
			c.inner.Store(&inner)
			if err = c.probe(0); err != nil {
				c.breakAll() // there, but not fit for use yet: the loop of run goes on with it
			}
			c.report()
			return true
		}
		if c.base.Err() != nil {
			return false
		}
		c.mu.Lock()
		c.setHealth(Down, classify(err).(*Error))
		c.mu.Unlock()
		select {
		case <-c.base.Done():
			return false
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		}
	}
}

// newInner makes valkey-go's client, which connects at once, or fails.
func (c *Client) newInner() (vk.Client, error) {
	inner, err := vk.NewClient(c.clientOption())
	if err != nil && inner != nil {
		inner.Close() // a single one is returned with its error
	}
	return inner, err
}

// rebuild replaces valkey-go's client if a new one can connect.
func (c *Client) rebuild() {
	inner, err := c.newInner()
	if err != nil {
		return
	}
	c.cluster.Store(inner.Mode() == vk.ClientModeCluster)
	old := c.inner.Swap(&inner)
	(*old).Close()
}

func (c *Client) closeInner() {
	if inner := c.inner.Load(); inner != nil {
		(*inner).Close()
	}
}

// activeParts is how many breakers are in use.
func (c *Client) activeParts() int {
	if c.cluster.Load() {
		return maxParts
	}
	return 1
}

// breakAll marks every part as broken.
func (c *Client) breakAll() {
	for i := range c.activeParts() {
		c.parts[i].broken.Store(true)
	}
}

// probeAll probes the broken parts that are due, sets the health, and returns when the next one is due, or the zero
// time if nothing is broken.
func (c *Client) probeAll() (next time.Time) {
	var due []int
	now := time.Now()
	for i := range c.activeParts() {
		b := &c.parts[i]
		if !b.broken.Load() {
			continue
		}
		if !b.known {
			b.opened(now)
		}
		if !b.probeAt.After(now) {
			due = append(due, i)
		}
	}
	errs := make([]error, len(due))
	var probes sync.WaitGroup
	for n, i := range due {
		probes.Go(func() { errs[n] = c.probe(i) })
	}
	probes.Wait()
	now = time.Now()
	for n, i := range due {
		if errs[n] == nil {
			c.parts[i].close(now)
		} else {
			c.parts[i].probed(now)
		}
	}
	c.report()
	for i := range c.activeParts() {
		if b := &c.parts[i]; b.known && (next.IsZero() || b.probeAt.Before(next)) {
			next = b.probeAt
		}
	}
	return next
}

// report sets the health by the number of broken parts.
func (c *Client) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for i := range c.activeParts() {
		if c.parts[i].broken.Load() {
			n++
		}
	}
	switch {
	case n == 0:
		c.setHealth(Up, nil)
	case n == c.activeParts():
		c.setHealth(Down, c.why)
	default:
		c.setHealth(Partly, c.why)
	}
}

// probe tries to write into a part: a replica, or a server that still loads, answers a PING. That it refuses to store
// anything shows that it is there.
func (c *Client) probe(part int) error {
	ctx, cancel := context.WithTimeout(c.base, c.o.ConnectTimeout)
	defer cancel()
	inner := *c.inner.Load()
	err := inner.Do(ctx, inner.B().Set().Key(c.probeKey(part)).Value("").PxMilliseconds(1000).Build()).Error()
	if e, ok := classify(err).(*Error); ok && e.Kind == ErrDown {
		c.mu.Lock()
		c.why = e
		c.mu.Unlock()
		return e
	}
	return nil
}

// probeKeys has a hash tag for each part of a cluster's slots.
var probeKeys = sync.OnceValue(func() (tags [maxParts]string) {
	for n, found := 0, 0; found < maxParts; n++ {
		tag := "probe" + strconv.Itoa(n)
		if part := int(slotOf(tag)) / (slots / maxParts); tags[part] == "" {
			tags[part] = tag
			found++
		}
	}
	return tags
})

func (c *Client) probeKey(part int) string { return c.Key(probeKeys()[part], "") }

package fetch

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"imgopt/failure"
)

// BreakerOptions configures the circuit breaker, which leaves an origin alone for a while after it failed to answer
// several times in a row: a host that takes its seven seconds to not answer would otherwise hold every slot there is.
type BreakerOptions struct {
	// Failures is how many requests in a row an origin fails before its circuit opens; 0 means that none ever does.
	// Only what shows a dead or slow host counts: no connection, a connection that is reset or closed without an
	// answer, a failing name server, time running out. Any HTTP answer, 404 and 500 included, ends the row.
	Failures int
	// OpenFor is how long an open circuit refuses everything. Then one request at a time goes through, and the first
	// that is answered closes the circuit. It must be positive if Failures is.
	OpenFor time.Duration
	// OnChange, if not nil, is told of every circuit that opens, and of every one that closes again or is forgotten
	// because nobody asked for its origin any more. It may be called from several goroutines.
	OnChange func(origin string, open bool)
}

// What is remembered of origins: one that answers is forgotten at once, the others if nobody asks for them for
// forgetAfter, and the longest unused if there are more than maxCircuits. Strangers choose the names.
const (
	maxCircuits = 1024
	forgetAfter = 5 * time.Minute
)

// breaker holds the circuits of all origins. A nil *breaker lets everything pass.
//
// A circuit changes when a client gets its answer, not which: an open one says what the last request to that origin
// failed with, in the same words (with Retry-After, so that nobody asks again at once), and not one answered request
// comes between the failures that open it. So a differential test, in which a few hosts answer well and badly by turns
// and in parallel, sees another status or text only if a host is silent Failures times in a row, each attempt of a job
// counted, and answers well within the OpenFor after that. Statuses and nonsense instead of HTTP do not count.
//
// github.com/sony/gobreaker has the same states, but keeps an object for every healthy origin too, does not tell how
// long a circuit stays open, drops what was begun before the last change of state, and calls its hook under its lock.
type breaker struct {
	options BreakerOptions

	mu       sync.Mutex
	circuits map[string]*circuit // by origin; of those that failed last
}

// circuit is what is known of an origin that fails.
type circuit struct {
	failures int       // in a row
	until    time.Time // when the next request may try; zero while the circuit is closed
	probe    *pass     // the request that tries, or nil
	last     *failure.Error
	used     time.Time
}

func (c *circuit) open() bool { return !c.until.IsZero() }

// verdict is what a request showed about its origin.
type verdict int

const (
	undecided verdict = iota // nothing
	answered
	dead // or too slow
)

// pass is a request that may go out.
type pass struct{ origin string }

// openCircuit refuses a request.
type openCircuit struct {
	origin string
	rest   time.Duration
	last   *failure.Error
}

// failure is what the origin's last request failed with, in the words of w. Nobody is to try again: it would be
// refused.
func (o *openCircuit) failure(w wording) *failure.Error {
	f := failure.Wrap(o.last.Status, w.prefix+"_circuit_open", o.last.Text,
		fmt.Errorf("%s is left alone for another %v after %s", o.origin, o.rest.Round(time.Millisecond), o.last.Reason))
	f.Timeout, f.RetryAfter = o.last.Timeout, o.rest
	return f
}

// newBreaker returns nil if circuits never open.
func newBreaker(o BreakerOptions) (*breaker, error) {
	switch {
	case o.Failures < 0:
		return nil, fmt.Errorf("circuit breaker: %d failures: must be 0 or more", o.Failures)
	case o.Failures == 0:
		return nil, nil
	case o.OpenFor <= 0:
		return nil, fmt.Errorf("circuit breaker: open for %v: must be positive", o.OpenFor)
	}
	return &breaker{options: o, circuits: map[string]*circuit{}}, nil
}

// enter asks whether a request to origin may go out. If so, leave must be called with the pass.
func (b *breaker) enter(origin string) (*pass, *openCircuit) {
	if b == nil {
		return nil, nil
	}
	p := &pass{origin}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.circuits[origin]
	if c == nil {
		return p, nil
	}
	c.used = now
	if !c.open() {
		return p, nil
	}
	if rest := c.until.Sub(now); rest > 0 {
		return nil, &openCircuit{origin, rest, c.last}
	}
	if c.probe != nil {
		return nil, &openCircuit{origin, time.Second, c.last} // until that one is answered, or not
	}
	c.probe = p
	return p, nil
}

// leave tells how the request of p went; f is why the origin counts as dead.
func (b *breaker) leave(p *pass, v verdict, f *failure.Error) {
	now := time.Now()
	b.mu.Lock()
	c := b.circuits[p.origin]
	probed := c != nil && c.probe == p
	if probed {
		c.probe = nil
	}
	var changed []change
	switch {
	case v == answered && c != nil:
		// Also if it was sent before the circuit opened: the host is there.
		changed = b.forget(changed, p.origin)
	case v == dead && c == nil:
		changed = b.makeRoom(changed, now)
		c = &circuit{}
		b.circuits[p.origin] = c
		fallthrough
	case v == dead && !c.open():
		c.failures, c.last, c.used = c.failures+1, f, now
		if c.failures >= b.options.Failures {
			c.until = now.Add(b.options.OpenFor)
			changed = append(changed, change{p.origin, true})
		}
	case v == dead && probed:
		c.until, c.last, c.used = now.Add(b.options.OpenFor), f, now
	}
	b.mu.Unlock()
	b.tell(changed)
}

// openCircuits returns how many circuits are open.
func (b *breaker) openCircuits() int {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	changed := b.forgetIdle(nil, time.Now())
	n := 0
	for _, c := range b.circuits {
		if c.open() {
			n++
		}
	}
	b.mu.Unlock()
	b.tell(changed)
	return n
}

// change is a call of OnChange, made when the lock is free again.
type change struct {
	origin string
	open   bool
}

func (b *breaker) tell(changed []change) {
	if b.options.OnChange == nil {
		return
	}
	for _, c := range changed {
		b.options.OnChange(c.origin, c.open)
	}
}

// forget removes a circuit; mu is held.
func (b *breaker) forget(changed []change, origin string) []change {
	if b.circuits[origin].open() {
		changed = append(changed, change{origin, false})
	}
	delete(b.circuits, origin)
	return changed
}

// forgetIdle removes the circuits that nobody used for long; mu is held.
func (b *breaker) forgetIdle(changed []change, now time.Time) []change {
	for origin, c := range b.circuits {
		if now.Sub(c.used) > max(forgetAfter, 2*b.options.OpenFor) {
			changed = b.forget(changed, origin)
		}
	}
	return changed
}

// makeRoom makes sure that there is room for another circuit; mu is held.
func (b *breaker) makeRoom(changed []change, now time.Time) []change {
	changed = b.forgetIdle(changed, now)
	if len(b.circuits) < maxCircuits {
		return changed
	}
	var oldest string
	for origin, c := range b.circuits {
		if oldest == "" || c.used.Before(b.circuits[oldest].used) {
			oldest = origin
		}
	}
	return b.forget(changed, oldest)
}

// originOf names the origin that scheme and host ("name" or "name:port") stand for: lower case, without the port that
// the scheme has anyway.
func originOf(scheme, host string) string {
	scheme, host = strings.ToLower(scheme), strings.ToLower(host)
	u := url.URL{Host: host}
	switch port := u.Port(); {
	case scheme == "http" && port == "80", scheme == "https" && port == "443", port == "" && strings.HasSuffix(host, ":"):
		host = host[:len(host)-len(port)-1]
	}
	return scheme + "://" + host
}

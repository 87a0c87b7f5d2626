package valkey

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	vk "github.com/valkey-io/valkey-go"
)

// What commands are made of and answers are, so that users of this package need not import valkey-go for them.
type (
	// Builder makes commands.
	Builder = vk.Builder
	// Command is a command that is ready to be sent, once.
	Command = vk.Completed
	// Message is an answer.
	Message = vk.ValkeyMessage
)

// Client is the connection to a deployment. Make one with Open, end it with Close. All methods may be called
// concurrently.
type Client struct {
	o Options

	base   context.Context // of all connections
	cancel context.CancelFunc

	inner   atomic.Pointer[vk.Client] // nil until connected for the first time
	cluster atomic.Bool
	parts   [maxParts]breaker // a single server uses the first
	broken  chan struct{}     // told when a breaker breaks
	tokens  chan struct{}     // one for each command under way
	closing atomic.Bool
	running sync.WaitGroup

	mu      sync.Mutex
	health  Health
	changed chan struct{} // closed when health changes
	why     *Error        // the last failure that broke something, or of a probe

	commands, failures, refused, connects atomic.Uint64
}

// maxParts is into how many parts a cluster's slots are divided. Nodes have runs of slots, so a part is mostly one
// node's, and the loss of a node breaks a few of them.
const (
	maxParts = 16
	slots    = 16384
)

// Open returns a Client, which connects in the background: whether and when that succeeds, Health tells. It fails
// only for options that can never work, certificates that cannot be read included.
func Open(o Options) (*Client, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if o.Address.TLS {
		if _, err := o.Address.tlsConfig(); err != nil {
			return nil, err
		}
	}
	c := &Client{
		o:       o,
		broken:  make(chan struct{}, 1),
		tokens:  make(chan struct{}, o.MaxInFlight),
		changed: make(chan struct{}),
		health:  Health{State: Down, Since: time.Now(), Reason: "not_connected"},
	}
	c.base, c.cancel = context.WithCancel(context.Background())
	c.running.Go(c.run)
	return c, nil
}

// Close ends all commands and subscriptions and waits for them. What is called afterwards fails with ErrClosed.
func (c *Client) Close() error {
	if !c.closing.Swap(true) {
		c.cancel()
	}
	c.running.Wait()
	return nil
}

// Key returns the name of a key: the client's prefix, the tag, and the rest. In a cluster all keys with one tag are in
// one place, so that one script may use them.
func (c *Client) Key(tag, rest string) string { return c.o.Prefix + "{" + tag + "}" + rest }

// Do sends the command that build makes and returns the answer, ErrNil if there is none. key is (one of) the
// command's, "" if it has none; limit bounds the wait, 0 means Options.Timeout. Failures are an *Error, ErrClosed, or
// what ended ctx.
func (c *Client) Do(ctx context.Context, key string, limit time.Duration, build func(Builder) Command) (Message, error) {
	return Call(ctx, c, key, limit, func(ctx context.Context, inner vk.Client) (Message, error) {
		return inner.Do(ctx, build(inner.B())).ToMessage()
	})
}

// Block is Do for a command that waits for up to wait on the server, such as XREADGROUP with BLOCK, and has a
// connection to itself meanwhile: Options.Blocking bounds how many do, not MaxInFlight.
func (c *Client) Block(ctx context.Context, key string, wait time.Duration, build func(Builder) Command) (Message, error) {
	return call(ctx, c, key, wait+c.o.Timeout+c.o.ConnectTimeout, false, func(ctx context.Context, inner vk.Client) (Message, error) {
		return inner.Do(ctx, build(inner.B())).ToMessage()
	})
}

// Call runs f with valkey-go's client: for several commands at once and for all that Do has no words for. key, limit
// and errors are those of Do. f must return when its context ends; that it has not yet done so does not keep Call.
func Call[T any](ctx context.Context, c *Client, key string, limit time.Duration, f func(context.Context, vk.Client) (T, error)) (T, error) {
	if limit == 0 {
		limit = c.o.Timeout
	}
	return call(ctx, c, key, limit, true, f)
}

func call[T any](ctx context.Context, c *Client, key string, limit time.Duration, bounded bool, f func(context.Context, vk.Client) (T, error)) (T, error) {
	var zero T
	inner, part, err := c.admit(key)
	if err != nil {
		return zero, err
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if bounded {
		select {
		case c.tokens <- struct{}{}:
		default:
			select {
			case c.tokens <- struct{}{}:
			case <-within.Done():
				return zero, c.ended(ctx, errBusy)
			}
		}
	}
	// In a goroutine of its own, because valkey-go does not look at the context while a connection is being made for
	// another command, or while a connection owes too many answers.
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	if !c.begin() {
		if bounded {
			<-c.tokens
		}
		return zero, ErrClosed
	}
	go func() {
		defer c.running.Done()
		value, err := f(within, inner)
		if bounded {
			<-c.tokens
		}
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, c.judge(ctx, part, r.err)
	case <-within.Done():
		select {
		case r := <-done:
			return r.value, c.judge(ctx, part, r.err)
		default:
			return zero, c.judge(ctx, part, within.Err())
		}
	}
}

// begin counts a goroutine that Close waits for, unless the client is closed.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() {
		return false
	}
	c.running.Add(1)
	return true
}

// admit returns valkey-go's client and the key's breaker, or says at once that there is nothing to be sent to.
func (c *Client) admit(key string) (vk.Client, *breaker, error) {
	if c.closing.Load() {
		return nil, nil, ErrClosed
	}
	inner := c.inner.Load()
	if inner == nil {
		c.refused.Add(1)
		return nil, nil, errNotConnected
	}
	part := &c.parts[c.partOf(key)]
	if part.broken.Load() {
		c.refused.Add(1)
		return nil, nil, errNotConnected
	}
	c.commands.Add(1)
	return *inner, part, nil
}

// partOf returns which part of the deployment a key is in.
func (c *Client) partOf(key string) int {
	if !c.cluster.Load() {
		return 0
	}
	return int(slotOf(key)) / (slots / maxParts)
}

// judge tells the breaker how a command ended and makes the error that the caller gets.
func (c *Client) judge(ctx context.Context, part *breaker, err error) error {
	switch {
	case err == nil || vk.IsValkeyNil(err):
		part.record(false)
		return err
	case c.closing.Load():
		return ErrClosed
	case ctx.Err() != nil: // the caller's end says nothing about the server
		return context.Cause(ctx)
	}
	e := classify(err).(*Error)
	if e.Kind == ErrDown {
		c.failures.Add(1)
		if part.record(true) {
			c.noticed(e)
		}
	} else {
		part.record(false)
	}
	return e
}

// ended prefers the reason that the caller itself, or Close, ended the wait.
func (c *Client) ended(ctx context.Context, err error) error {
	switch {
	case c.closing.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return err
	}
}

// Stats counts what a Client has done since it was opened.
type Stats struct {
	// Commands were sent; Failures of them were not answered in time, or at all.
	Commands, Failures uint64
	// Refused were not sent because the deployment, or the part of it that has the key, was known to be down.
	Refused uint64
	// Connects counts connections made.
	Connects uint64
	// InFlight is how many commands are under way now.
	InFlight int
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{
		Commands: c.commands.Load(), Failures: c.failures.Load(), Refused: c.refused.Load(), Connects: c.connects.Load(),
		InFlight: len(c.tokens),
	}
}

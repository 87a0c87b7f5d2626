package valkey

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	vk "github.com/valkey-io/valkey-go"
)

// Listener is told what happens on a channel, one call at a time.
type Listener struct {
	// Joined is called whenever the subscription has come into force, or messages had to be dropped: what was published
	// before may have been missed, so the listener has to look for itself.
	Joined func()
	// Message is called with every message.
	Message func(string)
}

// How long a subscription that failed waits before it tries again.
const (
	resubscribeMin = 20 * time.Millisecond
	resubscribeMax = time.Second
)

// maxMessages is how many messages may wait for a listener. More are dropped, and Joined is called, because the
// connection that they come by has other commands' answers to bring as well.
const maxMessages = 1024

// Subscribe listens to a sharded channel (SSUBSCRIBE), through lost connections and fail-overs, until stop is called
// or the client closed. stop waits for a call of l to return, so it must not be called from one. A channel's name
// should come from Key: its tag decides where in a cluster it lives.
func (c *Client) Subscribe(channel string, l Listener) (stop func()) {
	ctx, cancel := context.WithCancel(c.base)
	s := &subscription{c: c, channel: channel, messages: make(chan string, maxMessages), joined: make(chan struct{}, 1)}
	var running sync.WaitGroup
	if c.begin() {
		running.Go(func() {
			defer c.running.Done()
			var delivering sync.WaitGroup
			delivering.Go(func() { s.deliver(ctx, l) })
			s.receive(ctx)
			delivering.Wait()
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

type subscription struct {
	c        *Client
	channel  string
	messages chan string
	joined   chan struct{}
	inForce  atomic.Bool
}

// receive keeps the subscription in force.
func (s *subscription) receive(ctx context.Context) {
	pause := resubscribeMin
	for ctx.Err() == nil {
		s.inForce.Store(false)
		if inner := s.c.inner.Load(); inner != nil {
			_ = s.once(ctx, *inner) // why it ended is what the client's other commands see too
		}
		if s.inForce.Load() {
			pause = resubscribeMin
		}
		changed := s.c.Changed()
		select {
		case <-ctx.Done():
		case <-changed:
			pause = resubscribeMin
		case <-time.After(pause/2 + rand.N(pause/2+1)):
			pause = min(2*pause, resubscribeMax)
		}
	}
}

// once subscribes and returns when the subscription has ended.
func (s *subscription) once(ctx context.Context, inner vk.Client) error {
	// Valkey confirms each subscription, also one that valkey-go renews by itself.
	ctx = vk.WithOnSubscriptionHook(ctx, func(e vk.PubSubSubscription) {
		if e.Kind == "ssubscribe" {
			s.inForce.Store(true)
			s.lookAgain()
		}
	})
	return inner.Receive(ctx, inner.B().Ssubscribe().Channel(s.channel).Build(), func(m vk.PubSubMessage) {
		select {
		case s.messages <- m.Message:
		default:
			s.lookAgain()
		}
	})
}

func (s *subscription) lookAgain() {
	select {
	case s.joined <- struct{}{}:
	default: // it will
	}
}

// deliver calls the listener.
func (s *subscription) deliver(ctx context.Context, l Listener) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.joined:
			if l.Joined != nil {
				l.Joined()
			}
		case m := <-s.messages:
			if l.Message != nil {
				l.Message(m)
			}
		}
	}
}

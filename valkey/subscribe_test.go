package valkey_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

// heard collects what a subscription brings.
type heard struct {
	joined   chan struct{}
	messages chan string
}

func listen(t *testing.T, c *valkey.Client, channel string) *heard {
	t.Helper()
	h := &heard{joined: make(chan struct{}, 1000), messages: make(chan string, 10_000)}
	stop := c.Subscribe(channel, valkey.Listener{
		Joined:  func() { h.joined <- struct{}{} },
		Message: func(m string) { h.messages <- m },
	})
	t.Cleanup(stop)
	return h
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func publish(c *valkey.Client, channel, message string) error {
	_, err := c.Do(context.Background(), channel, 0, func(b valkey.Builder) valkey.Command {
		return b.Spublish().Channel(channel).Message(message).Build()
	})
	return err
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	h := listen(t, c, "imgopt:{c}") // before there is a connection
	other := listen(t, c, "imgopt:{d}")
	receive(t, h.joined)
	receive(t, other.joined)
	for i := range 100 {
		if err := publish(c, "imgopt:{c}", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, h.messages); got != fmt.Sprint(i) {
			t.Fatalf("got %q", got)
		}
	}
	if len(h.joined) != 0 || len(other.messages) != 0 {
		t.Error("more came than was sent")
	}
	s.Restart()
	receive(t, h.joined)
	up(t, c)
	valkeytest.Eventually(t, 5*time.Second, func() error { return publish(c, "imgopt:{c}", "again") })
	if got := receive(t, h.messages); got != "again" {
		t.Errorf("got %q", got)
	}
}

// After a pause long enough for connections to be given up a listener hears again, or is told to look again.
func TestSubscribePaused(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL(), func(o *valkey.Options) { o.SilentAfter = 300 * time.Millisecond; o.Timeout = 0 })
	h := listen(t, c, "imgopt:{c}")
	receive(t, h.joined)
	s.Pause()
	connects := c.Stats().Connects
	valkeytest.Eventually(t, 20*time.Second, func() error { // the silence has been noticed
		_ = publish(c, "imgopt:{c}", "m")
		if c.Stats().Connects < connects+2 {
			return errors.New("no new connection")
		}
		return nil
	})
	s.Continue()
	up(t, c)
	valkeytest.Eventually(t, 20*time.Second, func() error {
		if err := publish(c, "imgopt:{c}", "after"); err != nil {
			return err
		}
		for {
			select {
			case <-h.joined:
				return nil
			case m := <-h.messages:
				if m == "after" {
					return nil
				}
			default:
				return errors.New("nothing came")
			}
		}
	})
}

// A listener that does not keep up is told so, and keeps nobody else waiting.
func TestSubscribeSlowListener(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	release, joined := make(chan struct{}), make(chan struct{}, 10)
	var once sync.Once
	got := 0
	stop := c.Subscribe("imgopt:{c}", valkey.Listener{
		Joined: func() { joined <- struct{}{} },
		Message: func(string) {
			once.Do(func() { <-release })
			got++
		},
	})
	receive(t, joined)
	const sent = 3000
	for range sent {
		if err := publish(c, "imgopt:{c}", "m"); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	receive(t, joined)
	stop()
	if got >= sent {
		t.Error("nothing was dropped")
	}
}

func TestSubscribeFailover(t *testing.T) {
	t.Parallel()
	s := valkeytest.Sentinels(t, valkeytest.Options{})
	c, _ := open(t, s.URL(), quick)
	h := listen(t, c, "imgopt:{c}")
	receive(t, h.joined)
	s.Primary().Kill()
	receive(t, h.joined)
	valkeytest.Eventually(t, 20*time.Second, func() error { return publish(c, "imgopt:{c}", "after") })
	if got := receive(t, h.messages); got != "after" {
		t.Errorf("got %q", got)
	}
}

func TestSubscribeInACluster(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 0, false, valkeytest.Options{})
	c, _ := open(t, cluster.URL(), quick)
	up(t, c)
	var all []*heard
	var channels []string
	for node := range 3 {
		channels = append(channels, keyOf(c, cluster, node))
		all = append(all, listen(t, c, channels[node]))
		receive(t, all[node].joined)
	}
	cluster.Nodes[1].Kill()
	cluster.Nodes[1].Restart()
	receive(t, all[1].joined)
	for node := range 3 {
		valkeytest.Eventually(t, 20*time.Second, func() error { return publish(c, channels[node], "m") })
		receive(t, all[node].messages)
	}
}

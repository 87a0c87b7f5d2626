package valkey_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	vk "github.com/valkey-io/valkey-go"

	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func TestCommands(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, log := open(t, s.URL()+"/3")
	up(t, c)
	mustSet(t, c, c.Key("a", "b"), "1")
	mustGet(t, c, "imgopt:{a}b", "1")
	if _, err := get(c, "nothing"); err != valkey.ErrNil {
		t.Errorf("a key that does not exist: %v", err)
	}
	if got := s.Do("INFO", "keyspace"); !strings.Contains(got, "db3:keys=") || strings.Contains(got, "db0:") {
		t.Errorf("the database is another: %s", got)
	}
	_, err := c.Do(t.Context(), "a", 0, func(b valkey.Builder) valkey.Command { return b.Incr().Key(c.Key("a", "b")).Build() })
	if err != nil {
		t.Error(err)
	}
	_, err = c.Do(t.Context(), "a", 0, func(b valkey.Builder) valkey.Command { return b.Lpop().Key(c.Key("a", "b")).Build() })
	var e *valkey.Error
	if !errors.As(err, &e) || e.Reason != "refused" || errors.Is(err, valkey.ErrDown) || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("a command of the wrong type: %v", err)
	}
	if h := c.Health(); h.State != valkey.Up || h.Mode != "standalone" || h.String() != "up" {
		t.Errorf("health: %+v", h)
	}
	if got := s.Do("CLIENT", "LIST"); !strings.Contains(got, "name=imgopt ") {
		t.Errorf("the connections have no name: %s", got)
	}
	if log.Count("\n") != 1 || !strings.Contains(log.String(), "valkey is available") {
		t.Errorf("log: %s", log)
	}
	if s := c.Stats(); s.Commands == 0 || s.Failures != 0 || s.InFlight != 0 || s.Connects == 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPasswords(t *testing.T) {
	for _, o := range []valkeytest.Options{{Password: "s/e@c:ret%"}, {User: "imgopt", Password: "secret"}} {
		s := valkeytest.Start(t, o)
		c, log := open(t, s.URL())
		up(t, c)
		mustSet(t, c, "a", "1")

		bad, badLog := open(t, strings.Replace(s.URL(), "@127", "wrong@127", 1))
		valkeytest.Eventually(t, 5*time.Second, func() error {
			if h := bad.Health(); h.Reason != "auth" || h.State != valkey.Down {
				return errors.New(h.String())
			}
			return nil
		})
		for _, l := range []*valkeytest.Log{log, badLog} {
			if strings.Contains(l.String(), o.Password) || l.Count("\n") != 1 {
				t.Errorf("log: %s", l)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	certs := valkeytest.NewTLS(t)
	s := valkeytest.Start(t, valkeytest.Options{TLS: certs, Password: "secret"})
	query := "?cert=" + certs.Cert + "&key=" + certs.Key
	c, _ := open(t, s.URL()+query+"&ca="+certs.CA)
	up(t, c)
	mustSet(t, c, "a", "1")
	c, _ = open(t, s.URL()+query+"&insecure=true")
	up(t, c)
	for _, bad := range []string{query, query + "&ca=" + certs.CA + "&serverName=example.com", "?ca=" + certs.CA} {
		c, _ := open(t, s.URL()+bad)
		valkeytest.Eventually(t, 5*time.Second, func() error {
			if h := c.Health(); h.State != valkey.Down || h.Detail == "" {
				return errors.New("no attempt to connect has failed yet")
			}
			return nil
		})
	}
	address, err := valkey.ParseURL(s.URL() + "?ca=/does/not/exist")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := valkey.Open(valkey.Options{Address: address}); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("an authority that cannot be read: %v", err)
	}
}

func TestOptions(t *testing.T) {
	address, err := valkey.ParseURL("valkey://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []valkey.Options{
		{},
		{Address: valkey.Address{Hosts: []string{"a:1"}, Cluster: valkey.ClusterYes, DB: 1}},
		{Address: address, Timeout: -1},
		{Address: address, MaxInFlight: 257},
		{Address: address, MaxInFlight: -1},
		{Address: address, Blocking: -1},
	} {
		if c, err := valkey.Open(o); err == nil {
			t.Errorf("%+v was accepted", o)
			c.Close()
		}
	}
}

func TestScriptSurvivesALostCache(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	script := valkey.NewScript("return redis.call('INCRBY', KEYS[1], ARGV[1])", false)
	run := func(want int64) {
		t.Helper()
		m, err := script.Run(t.Context(), c, 0, []string{"n"}, []string{"2"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.ToInt64(); err != nil || got != want {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
	run(2)
	s.Do("SCRIPT", "FLUSH")
	run(4)
	run(6)
	if got := s.Info("number_of_cached_scripts"); got != "1" {
		t.Errorf("%s scripts", got)
	}
}

func TestCallerGivesUp(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	for range 10 {
		_, err := c.Do(ctx, "a", 0, func(b valkey.Builder) valkey.Command { return b.Get().Key("a").Build() })
		if !errors.Is(err, gone) || errors.Is(err, valkey.ErrDown) {
			t.Errorf("got %v", err)
		}
	}
	if c.Health().State != valkey.Up || c.Stats().Failures != 0 {
		t.Error("callers that give up are not the server's fault")
	}
}

func TestBusy(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL(), quick, func(o *valkey.Options) { o.MaxInFlight = 2 })
	up(t, c)
	release := make(chan struct{})
	var wg, inside sync.WaitGroup
	inside.Add(2)
	for range 2 {
		wg.Go(func() {
			_, err := valkey.Call(t.Context(), c, "a", time.Minute, func(context.Context, vk.Client) (bool, error) {
				inside.Done()
				<-release
				return true, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	inside.Wait()
	if _, err := get(c, "a"); !errors.Is(err, valkey.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	close(release)
	wg.Wait()
	mustGetOrNil(t, c)
}

// What does not return when its context ends keeps nobody, and its place only until it does.
func TestCallThatDoesNotReturn(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	release := make(chan struct{})
	_, err := valkey.Call(t.Context(), c, "a", 10*time.Millisecond, func(context.Context, vk.Client) (bool, error) {
		<-release
		return true, nil
	})
	wantDown(t, err, "timeout")
	if n := c.Stats().InFlight; n != 1 {
		t.Errorf("%d in flight, want 1", n)
	}
	close(release)
}

func TestBlock(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	pop := func(ctx context.Context, wait time.Duration) error {
		_, err := c.Block(ctx, "list", wait, func(b valkey.Builder) valkey.Command {
			return b.Blpop().Key("list").Timeout(wait.Seconds()).Build()
		})
		return err
	}
	if err := pop(t.Context(), 20*time.Millisecond); err != valkey.ErrNil {
		t.Errorf("nothing came: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pop(ctx, time.Minute) }()
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if s.Info("blocked_clients") != "1" {
			return errors.New("nobody waits")
		}
		return nil
	})
	mustSet(t, c, "a", "1") // others are not kept
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { done <- pop(t.Context(), time.Minute) }()
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if s.Info("blocked_clients") != "1" {
			return errors.New("nobody waits")
		}
		return nil
	})
	s.Kill()
	wantDown(t, <-done, "network")
}

func TestClose(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL(), quick)
	up(t, c)
	s.Pause()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				_, err := get(c, "a")
				if err == valkey.ErrClosed {
					return
				}
				if err == nil {
					t.Error("a paused server answered")
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond) // some are under way
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
	wg.Wait()
	if err := c.WaitUp(t.Context()); err != valkey.ErrClosed {
		t.Errorf("WaitUp: %v", err)
	}
	c.Subscribe("channel", valkey.Listener{})() // does nothing, and ends
}

// What a user needs who may do no more than this package does.
func TestLeastPrivilege(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	s.Do("ACL", "SETUSER", "images", "on", ">secret", "~imgopt:*", "&imgopt:*", "-@all", "+@read", "+@write", "+@pubsub", "+@scripting", "+@connection", "+@stream", "+time",
		"-@dangerous", "-@admin")
	c, log := open(t, strings.Replace(s.URL(), "//", "//images:secret@", 1))
	up(t, c)
	mustSet(t, c, c.Key("a", ""), "1")
	mustGet(t, c, c.Key("a", ""), "1")
	script := valkey.NewScript("return redis.call('GET', KEYS[1]) .. redis.call('TIME')[1]", true)
	if _, err := script.Run(t.Context(), c, 0, []string{c.Key("a", "")}, nil); err != nil {
		t.Error(err)
	}
	h := listen(t, c, c.Key("c", ""))
	receive(t, h.joined)
	if err := publish(c, c.Key("c", ""), "m"); err != nil {
		t.Error(err)
	}
	receive(t, h.messages)
	var e *valkey.Error
	if err := set(c, "other", "1"); !errors.As(err, &e) || e.Reason != "refused" {
		t.Errorf("another's key: %v", err)
	}
	if c.Health().State != valkey.Up || log.Count("\n") != 1 {
		t.Errorf("log: %s", log)
	}
}

// What a client takes, so that the documentation of its size stays true.
func TestMemoryOfAConnection(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	before := heapInUse()
	const n = 10
	var clients []*valkey.Client
	for range n {
		c, _ := open(t, s.URL())
		up(t, c)
		for range 20 { // both connections
			mustSet(t, c, "a", "1")
		}
		clients = append(clients, c)
	}
	perConnection := (heapInUse() - before) / uint64(2*n)
	t.Logf("%d KiB for each connection", perConnection>>10)
	if perConnection > 400<<10 {
		t.Errorf("a connection takes %d bytes", perConnection)
	}
	runtime.KeepAlive(clients)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

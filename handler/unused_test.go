package handler

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
)

// TestUnusedConnections: a server that is shut down does not wait for clients that have connected and sent nothing, and
// does answer one that sends a moment later.
func TestUnusedConnections(t *testing.T) {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ReadTimeout: time.Minute})
	app.Get("/", func(c *fiber.Ctx) error {
		c.Set("Connection", "close")
		return c.SendString("here")
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(Wrap(ln, ListenOptions{Name: "test"})) }()
	var silent [3]net.Conn
	for i := range silent {
		if silent[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer silent[i].Close()
	}
	late, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	// One that is answered shows that those before it were accepted.
	last, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	fmt.Fprint(last, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := io.ReadAll(last); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		stopped <- app.ShutdownWithContext(ctx)
	}()
	time.Sleep(closingGrace / 10)
	fmt.Fprint(late, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if answer, err := io.ReadAll(late); err != nil || len(answer) == 0 {
		t.Errorf("a client that sent its request late got %q, %v", answer, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

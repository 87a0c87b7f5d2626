package handler

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/validate"
)

// fakeImages answers with a function; only what it calls a hit is a hit.
type fakeImages struct {
	lookup func(validate.Params) (Result, bool)
	get    func(context.Context, validate.Params) (Result, error)
}

func (f *fakeImages) Lookup(p validate.Params) (Result, bool) {
	if f.lookup == nil {
		return Result{}, false
	}
	return f.lookup(p)
}

func (f *fakeImages) Get(ctx context.Context, p validate.Params) (Result, error) {
	if f.get == nil {
		return Result{}, failure.New(404, "no_image", "no image")
	}
	return f.get(ctx, p)
}

// hits are images that are all in memory.
func hits(e *cache.Entry) *fakeImages {
	return &fakeImages{lookup: func(validate.Params) (Result, bool) { return Result{Entry: e, State: cache.Hit}, true }}
}

func testEntry(size int) *cache.Entry {
	return &cache.Entry{
		Href: "/a.jpg", Body: bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size], ContentType: "image/webp",
		ETag: "VIXm70uxfiHkQyA3kV63YwefSeao6akhtE3STdHRn68", MaxAge: 4 * 3600,
	}
}

func testRules(t testing.TB) *validate.Rules {
	t.Helper()
	return rulesWith(t, "")
}

func rulesWith(t testing.TB, basePath string) *validate.Rules {
	t.Helper()
	any, http := "**", "http"
	host, search := "127.0.0.1", ""
	r, err := validate.Compile(validate.Options{
		BasePath:    basePath,
		DeviceSizes: []int{640, 750, 828, 1080, 1200, 1920, 2048, 3840}, ImageSizes: []int{32, 48, 64, 96, 128, 256, 384},
		Qualities: []int{75}, Formats: []string{"image/webp"},
		LocalPatterns:  []validate.LocalPattern{{Pathname: &any, Search: &search}},
		RemotePatterns: []validate.RemotePattern{{Protocol: &http, Hostname: &host}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start serves a public application on loopback until the test ends, and returns its address.
func start(t testing.TB, images Images, change func(*Options)) string {
	t.Helper()
	o := testOptions()
	if change != nil {
		change(&o)
	}
	app, err := New(images, rulesWith(t, o.BasePath), o)
	if err != nil {
		t.Fatal(err)
	}
	return serveApp(t, app, ListenOptions{})
}

func serveApp(t testing.TB, app *fiber.App, o ListenOptions) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(Wrap(ln, o)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := app.ShutdownWithContext(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return ln.Addr().String()
}

// dial opens a connection that is closed with the test.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// reply is an answer as read from the wire.
type reply struct {
	*http.Response
	body []byte
}

// read reads an answer to a request with the given method.
func read(t testing.TB, r *bufio.Reader, method string) reply {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading the body of a %d: %v", res.StatusCode, err)
	}
	_ = res.Body.Close()
	return reply{res, body}
}

// send writes a raw request on a connection of its own and reads the answer.
func send(t testing.TB, addr, raw string) reply {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	return read(t, bufio.NewReader(c), method)
}

// request builds a request with the headers given as lines.
func request(method, target string, lines ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, target, strings.Join(append(lines, ""), "\r\n"))
}

const aJPG = "/_next/image?url=%2Fa.jpg&w=64&q=75"

func fromBase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package handler

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"imgopt/validate"
)

// benchCtx is what a browser asks for.
func benchCtx(headers ...string) *fasthttp.RequestCtx {
	raw := "GET /_next/image?url=%2F_next%2Fstatic%2Fmedia%2Fphoto-of-something.3f9a1c2b.jpg&w=828&q=75 HTTP/1.1\r\n" +
		"Host: www.example.com\r\n" + browser + "\r\n\r\n"
	ctx := &fasthttp.RequestCtx{}
	if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		panic(err)
	}
	for i := 0; i < len(headers); i += 2 {
		ctx.Request.Header.Set(headers[i], headers[i+1])
	}
	return ctx
}

const browser = "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\nReferer: https://www.example.com/\r\nSec-Fetch-Dest: image"

// BenchmarkHit is the work of this package and of Fiber for a hit, without the network: called as the server does,
// called through Fiber's router, and with the access log on.
func BenchmarkHit(b *testing.B) {
	handlers := map[string]func() fasthttp.RequestHandler{}
	for name, log := range map[string]*slog.Logger{"direct": nil, "logged": slog.New(slog.NewJSONHandler(io.Discard, nil))} {
		handlers[name] = func() fasthttp.RequestHandler {
			o := testOptions()
			o.Log = log
			app, err := New(hits(testEntry(45<<10)), testRules(b), o)
			if err != nil {
				b.Fatal(err)
			}
			if name == "direct" {
				handlers["router"] = app.Handler
			}
			return app.Server().Handler
		}
	}
	for _, name := range []string{"direct", "router", "logged"} {
		h := handlers[name]()
		for kind, headers := range map[string][]string{"200": nil, "304": {"If-None-Match", testEntry(1).ETag}} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				ctx := benchCtx(headers...)
				b.ReportAllocs()
				for b.Loop() {
					h(ctx)
					ctx.Response.Reset()
				}
			})
		}
	}
}

// BenchmarkRules is what the memo saves.
func BenchmarkRules(b *testing.B) {
	rules := testRules(b)
	accept := "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
	for name, query := range map[string]string{
		"local":  "url=%2F_next%2Fstatic%2Fmedia%2Fphoto-of-something.3f9a1c2b.jpg&w=828&q=75",
		"remote": "url=http%3A%2F%2F127.0.0.1%2Fphotos%2Fphoto-of-something.3f9a1c2b.jpg&w=828&q=75",
	} {
		b.Run(name+"/rules", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rules.Check(query, accept); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/memo", func(b *testing.B) {
			m, q, a := newMemo(rules), []byte(query), []byte(accept)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.check(q, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoopback is a hit over TCP, client included, on 16 connections per processor.
func BenchmarkLoopback(b *testing.B) {
	for _, c := range []struct {
		kind, line string
		size       int
	}{
		{"200", "X: y", 45 << 10},
		{"304", "If-None-Match: " + testEntry(1).ETag, 45 << 10},
		{"large", "X: y", 200 << 10}, // counted while it is sent
		{"get", "X: y", 45 << 10},    // not in memory, but found at once
	} {
		b.Run(c.kind, func(b *testing.B) {
			images := hits(testEntry(c.size))
			if c.kind == "get" {
				lookup := images.lookup
				images = &fakeImages{get: func(_ context.Context, p validate.Params) (Result, error) { r, _ := lookup(p); return r, nil }}
			}
			addr := start(b, images, nil)
			raw := request("GET", aJPG, strings.Split(browser, "\r\n")...)
			raw = strings.Replace(raw, "\r\n", "\r\n"+c.line+"\r\n", 1)
			var bytes atomic.Int64
			b.SetParallelism(16)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c := dial(b, addr)
				r := bufio.NewReaderSize(c, 64<<10)
				for pb.Next() {
					if _, err := io.WriteString(c, raw); err != nil {
						b.Error(err)
						return
					}
					res, err := http.ReadResponse(r, nil)
					if err != nil {
						b.Error(err)
						return
					}
					n, err := io.Copy(io.Discard, res.Body)
					if err != nil {
						b.Error(err)
						return
					}
					bytes.Add(n)
				}
			})
			b.SetBytes(bytes.Load() / int64(b.N))
		})
	}
}

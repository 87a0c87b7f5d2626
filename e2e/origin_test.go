package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
)

func TestOrigin(t *testing.T) {
	o, err := NewOrigin(func(*http.Request) Reply { return Reply{Body: []byte("fallback")} }, "127.0.0.1", "127.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	body := bytes.Repeat([]byte("0123456789"), 10)
	replies := map[string]Reply{
		"/length":  {Body: body},
		"/chunked": {Body: body, Framing: FramingChunked, Header: [][2]string{{"X", "1"}, {"X", "2"}}},
		"/close":   {Body: body, Framing: FramingClose, Status: 404},
		"/%zz":     {Body: body},
		"/raw":     {Raw: []byte("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n")},
		"/none":    {Status: 204},
	}
	for path, r := range replies {
		o.Handle(path, func(*http.Request) Reply { return r })
		for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
			got, err := Request{Target: path + "?query"}.Do(context.Background(), fmt.Sprintf("%s:%d", host, o.Port))
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if r.Raw == nil && !bytes.Equal(got.Body, r.Body) {
				t.Errorf("%s: body %q", path, got.Body)
			}
			if r.Status != 0 && got.Status != r.Status {
				t.Errorf("%s: status %d", path, got.Status)
			}
			if len(r.Header) == 2 && len(got.Header["X"]) != 2 {
				t.Errorf("%s: header %v", path, got.Header)
			}
		}
		if n := o.Hits(path); n != 2 {
			t.Errorf("%s: %d hits, want 2", path, n)
		}
	}
	addr := fmt.Sprintf("127.0.0.1:%d", o.Port)
	if got, err := (Request{Target: "/other"}).Do(context.Background(), addr); err != nil || string(got.Body) != "fallback" {
		t.Errorf("fallback: %v %v", got, err)
	}
	for path, r := range map[string]Reply{
		"/cut":    {Body: body, Framing: FramingCut},
		"/short":  {Body: body, Length: len(body) + 1},
		"/hangup": {Hangup: true},
	} {
		o.Handle(path, func(*http.Request) Reply { return r })
		if got, err := (Request{Target: path}).Do(context.Background(), addr); err == nil {
			t.Errorf("%s: no error, but %+v", path, got)
		}
	}
}

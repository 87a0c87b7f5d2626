package fetch

import (
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// No header of a client reaches an origin: there is no way in. A Request has a url, two validators that earlier answers
// of the same url gave, the name of a version that is there, and a Memory; this is every byte that becomes of it.
func TestWire(t *testing.T) {
	fields := []string{}
	for f := range reflect.TypeFor[Request]().Fields() {
		fields = append(fields, f.Name)
	}
	if want := []string{"Href", "Absolute", "Deployment", "ETag", "LastModified", "Memory"}; !slices.Equal(fields, want) {
		t.Errorf("a Request has %v: if something of a client is in it, it must not be sent", fields)
	}
	const node = "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: *\r\nConnection: keep-alive\r\n"
	for _, tt := range []struct {
		name   string
		r      Request
		static http.Header
		sent   string
	}{
		{"absolute", Request{Href: "http://host.test/a%20b?c", Absolute: true}, nil,
			"GET /a%20b?c HTTP/1.1\r\nHost: host.test\r\nUser-Agent: node\r\n" + node + "Sec-Fetch-Mode: cors\r\n\r\n"},
		{"user", Request{Href: "http://u:p@host.test:81/#f", Absolute: true}, nil,
			"GET / HTTP/1.1\r\nHost: host.test:81\r\nUser-Agent: node\r\n" + strings.Replace(node, "Connection", "Authorization: Basic dTpw\r\nConnection", 1) + "Sec-Fetch-Mode: cors\r\n\r\n"},
		{"conditional", Request{Href: "http://host.test/", Absolute: true, ETag: `"caf` + "\u00e9" + `"`, LastModified: "Sat, 21 Nov 2026 19:35:44 GMT"}, nil,
			"GET / HTTP/1.1\r\nHost: host.test\r\nUser-Agent: node\r\n" + node + "If-Modified-Since: Sat, 21 Nov 2026 19:35:44 GMT\r\nIf-None-Match: \"caf\xe9\"\r\nSec-Fetch-Mode: cors\r\n\r\n"},
		{"splitting", Request{Href: "http://host.test/", Absolute: true, ETag: "\"a\"\r\nX-Evil: 1", LastModified: "now\r\n\r\nGET /evil HTTP/1.1"}, nil,
			"GET / HTTP/1.1\r\nHost: host.test\r\nUser-Agent: node\r\n" + node + "Sec-Fetch-Mode: cors\r\n\r\n"},
		{"static", Request{Href: "http://host.test/", Absolute: true}, http.Header{"X-Key": {"a", "b"}, "User-Agent": {""}, "Accept": {"image/*"}},
			"GET / HTTP/1.1\r\nHost: host.test\r\n" + strings.Replace(node, "*/*", "image/*", 1) + "Sec-Fetch-Mode: cors\r\nX-Key: a\r\nX-Key: b\r\n\r\n"},
		{"relative", Request{Href: "/a b?c#d"}, nil,
			"GET /base/a%20b?c HTTP/1.1\r\nHost: host.test\r\nAuthorization: Basic dXNlcjpwYXNz\r\nConnection: keep-alive\r\n\r\n"},
		{"relative, conditional", Request{Href: "/", ETag: `W/"x"`}, nil,
			"GET /base/ HTTP/1.1\r\nHost: host.test\r\nAuthorization: Basic dXNlcjpwYXNz\r\nConnection: keep-alive\r\nIf-None-Match: W/\"x\"\r\n\r\n"},
		{"deployment", Request{Href: "/a.png?dpl=v9", Deployment: "v1"}, nil,
			"GET /base/a.png?dpl=v9 HTTP/1.1\r\nHost: host-v1.test\r\nAuthorization: Basic dTpw\r\nConnection: keep-alive\r\n\r\n"},
		{"relative, static", Request{Href: "/"}, http.Header{"Authorization": {"Bearer x"}},
			"GET /base/ HTTP/1.1\r\nHost: host.test\r\nAuthorization: Bearer x\r\nConnection: keep-alive\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestClient(t, func(o *Options) {
					o.Origins = []string{"http://user:pass@host.test/base"}
					o.Deployments = DeploymentOptions{Origins: []string{"http://u:p@host-{dpl}.test/base"}, IDs: []string{"v1"}}
					if tt.static != nil {
						o.Headers = []OriginHeaders{{"http://host.test", tt.static}}
					}
				})
				sent := make(chan string, 1)
				pipe := c.ownedDial(func(context.Context, string, string) (net.Conn, error) {
					here, there := net.Pipe()
					go func() {
						defer there.Close()
						b := make([]byte, 4096)
						n, _ := there.Read(b)
						sent <- string(b[:n])
						io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
					}()
					return here, nil
				})
				c.upstream.DialContext, c.frontend.DialContext = pipe, pipe
				if _, err := c.Fetch(t.Context(), tt.r); err != nil {
					t.Error(err)
				}
				if got := <-sent; got != tt.sent {
					t.Errorf("sent %q\nwant %q", got, tt.sent)
				}
			})
		})
	}
}

package handler

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/testkit/race"
	"imgopt/validate"
)

func deploymentRules(t testing.TB) *validate.Rules {
	t.Helper()
	host := "127.0.0.1"
	r, err := validate.Compile(validate.Options{
		DeviceSizes: []int{640, 828}, Qualities: []int{75}, Deployments: true,
		RemotePatterns: []validate.RemotePattern{{Hostname: &host}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Who asks is told by the url, and else by a cookie; then Vary says so.
func TestDeploymentCookie(t *testing.T) {
	const local, remote = "/_next/image?url=/a.jpg&w=640&q=75", "/_next/image?url=http://127.0.0.1/a.jpg&w=640&q=75"
	svg := testEntry(3000)
	svg.ContentType = "image/svg+xml"
	for _, row := range []struct {
		name, target string
		headers      []string
		want         string
		vary         bool
	}{
		{"none", local, nil, "", true},
		{"cookie", local, []string{"Cookie: __plt_dpl=v1"}, "v1", true},
		{"among others", local, []string{"Cookie: a=b; x__plt_dpl=no; __plt_dpl=v1; __plt_dpl=v2"}, "v1", true},
		{"without spaces", local, []string{"Cookie: a=b;__plt_dpl=v1;c"}, "v1", true},
		{"in the second header", local, []string{"Cookie: a=b", "Cookie: __plt_dpl=v1"}, "v1", true},
		{"another case", local, []string{"Cookie: __PLT_DPL=v1"}, "", true},
		{"empty", local, []string{"Cookie: __plt_dpl=; __plt_dpl=v2"}, "", true},
		{"no id", local, []string{"Cookie: __plt_dpl=../v1"}, "", true},
		{"quoted", local, []string{`Cookie: __plt_dpl="v1"`}, "", true},
		{"too long", local, []string{"Cookie: __plt_dpl=" + strings.Repeat("v", 65)}, "", true},
		{"url", local + "&dpl=v3", nil, "v3", false},
		{"url and cookie", local + "&dpl=v3", []string{"Cookie: __plt_dpl=v1"}, "v3", false},
		{"no id in the url", local + "&dpl=a.b", []string{"Cookie: __plt_dpl=v1"}, "v1", true},
		{"within the url", "/_next/image?url=/a.jpg%3Fdpl=v4&w=640&q=75", []string{"Cookie: __plt_dpl=v1"}, "v4", false},
		{"absolute", remote, []string{"Cookie: __plt_dpl=v1"}, "", false},
		{"absolute with id", remote + "&dpl=v3", []string{"Cookie: __plt_dpl=v1"}, "", false},
	} {
		for kind, vary := range map[string]string{"200": "Accept", "304": "Accept", "svg": "Accept, Accept-Encoding", "404": ""} {
			for _, miss := range []bool{false, true} {
				var asked []string
				var mu sync.Mutex
				result := Result{Entry: testEntry(100), State: cache.Hit}
				if kind == "svg" {
					result.Entry = svg
				}
				answer := func(p validate.Params) (Result, error) {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, strings.Clone(p.Deployment))
					if kind == "404" {
						return Result{}, failure.New(http.StatusNotFound, "x", "not found")
					}
					return result, nil
				}
				images := &fakeImages{
					lookup: func(p validate.Params) (Result, bool) {
						if miss || kind == "404" {
							return Result{}, false
						}
						r, err := answer(p)
						return r, err == nil
					},
					get: func(_ context.Context, p validate.Params) (Result, error) { return answer(p) },
				}
				o := testOptions()
				o.DeploymentCookie = "__plt_dpl"
				app, err := New(images, deploymentRules(t), o)
				if err != nil {
					t.Fatal(err)
				}
				headers := slices.Clone(row.headers)
				if kind == "304" {
					headers = append(headers, "If-None-Match: "+testEntry(1).ETag)
				}
				got := send(t, serveApp(t, app, ListenOptions{}), request("GET", row.target, headers...))
				want := vary
				if row.vary {
					want = strings.TrimPrefix(vary+", Cookie", ", ")
					if kind == "404" {
						want = "Accept, Cookie"
					}
				}
				mu.Lock()
				if !slices.Equal(asked, []string{row.want}) || got.Header.Get("Vary") != want {
					t.Errorf("%s, %s, miss %v: asked for %q with Vary: %q (%d), want %q with %q", row.name, kind, miss, asked, got.Header.Get("Vary"), got.StatusCode, row.want, want)
				}
				mu.Unlock()
			}
		}
	}
}

// Without the option cookies mean nothing.
func TestDeploymentCookieOff(t *testing.T) {
	images := &fakeImages{lookup: func(p validate.Params) (Result, bool) {
		return Result{Entry: testEntry(100), State: cache.Hit}, p.Deployment == ""
	}}
	got := send(t, start(t, images, nil), request("GET", aJPG, "Cookie: __plt_dpl=v1"))
	if got.StatusCode != 200 || got.Header.Get("Vary") != "Accept" {
		t.Errorf("%d, Vary: %q", got.StatusCode, got.Header.Get("Vary"))
	}
}

// What is asked for by a cookie costs no memory where it is in the cache, and is the asker's own where it is not: the
// request's memory is used for other requests.
func TestDeploymentCookieMemory(t *testing.T) {
	header := &fasthttp.RequestHeader{}
	if err := header.Read(bufio.NewReader(strings.NewReader(request("GET", aJPG, "Cookie: a=b; __plt_dpl=v1; c=d")))); err != nil {
		t.Fatal(err)
	}
	h := &public{deploymentCookie: "__plt_dpl"}
	if n := testing.AllocsPerRun(100, func() {
		var p validate.Params
		if !h.askedBy(header, &p) || p.Deployment != "v1" {
			t.Fatal(p)
		}
	}); n != 0 && !race.Enabled {
		t.Errorf("%v allocations", n)
	}
	lent := []byte("v1")
	p := keep(validate.Params{Deployment: lend(lent)})
	if lent[1] = '2'; p.Deployment != "v1" {
		t.Errorf("%q was lent", p.Deployment)
	}
}

func FuzzCookieValue(f *testing.F) {
	for _, s := range []string{"", "a=1", "b=2; a=1", "a=1;a=2", " a = 1 ;", ";;a=;", "aa=1; a", "=1", "a=\"x;y\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cookies string) {
		got := cookieValue([]byte(cookies), "a")
		// The same, slowly.
		var want *string
		for pair := range strings.SplitSeq(cookies, ";") {
			name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if ok && name == "a" {
				value = strings.Trim(value, " \t")
				want = &value
				break
			}
		}
		if (got == nil) != (want == nil) || want != nil && string(got) != *want {
			t.Errorf("%q: %q", cookies, got)
		}
	})
}

package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

// names is a Resolver that knows the names it has; what maps to nil cannot be resolved at the moment.
type names struct {
	mu    sync.Mutex
	hosts map[string]bool // whether it answers; absent: there is no such name
	asked atomic.Int64
	delay time.Duration
}

func (n *names) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.asked.Add(1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(n.delay):
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch answers, ok := n.hosts[host]; {
	case network != "ip":
		return nil, fmt.Errorf("network %s", network)
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case !answers:
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	}
	return addrs("127.0.0.1"), nil
}

func (n *names) set(host string, answers bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = answers
}

func (n *names) remove(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts, host)
}

// newReleases returns a folder of folders, each with an image that says where it is from, and a client for it.
func newReleases(t *testing.T, o DeploymentOptions, versions ...string) (dir string, c *Client) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, map[string]string{"releases/README": "x", "default/public/a.png": "default", "default/public/only.png": "only here", "default/.next/static/media/d.png": "default media", "secret/a.png": "secret"})
	for _, v := range versions {
		write(t, dir, map[string]string{"releases/" + v + "/public/a.png": v, "releases/" + v + "/.next/static/media/" + v + ".png": v + " media"})
	}
	for i, s := range o.Origins {
		o.Origins[i] = strings.ReplaceAll(s, "DIR", dir)
	}
	return dir, newTestClient(t, func(all *Options) {
		all.Origins, all.Deployments = []string{"file://" + filepath.Join(dir, "default")}, o
	})
}

// fetchFor does what is done for a request with an id.
func fetchFor(ctx context.Context, c *Client, id, href string) (body, name string, err error) {
	name, err = c.FindDeployment(ctx, id)
	if err != nil {
		return "", "", err
	}
	if again, settled := c.Deployment(id); !settled || again != name {
		return "", "", fmt.Errorf("%q was found as %q and is known as %q, %v", id, name, again, settled)
	}
	src, err := c.Fetch(ctx, Request{Href: href, Deployment: name})
	if err != nil {
		return "", name, err
	}
	return string(src.Body), name, nil
}

func TestDeploymentFolders(t *testing.T) {
	dir, c := newReleases(t, DeploymentOptions{Origins: []string{"file://DIR/releases/{dpl}"}, Own: "v3"}, "v1", "v2", "v3", "V1")
	if name, settled := c.Deployment("v1"); name != "" || settled {
		t.Errorf("v1 is known as %q, %v before anybody looked", name, settled)
	}
	for _, row := range []struct{ id, href, body, name string }{
		{"v1", "/a.png", "v1", "v1"},
		{"v2", "/a.png", "v2", "v2"},
		{"V1", "/a.png", "V1", "V1"},                                            // folders have upper case
		{"v1", "/_next/static/media/v1.png", "v1 media", "v1"},                  // what the newest build does not have
		{"v3", "/a.png", "default", ""},                                         // what the default origin serves anyway
		{"", "/a.png", "default", ""},                                           // none
		{"v9", "/a.png", "default", ""},                                         // unknown
		{"README", "/a.png", "default", ""},                                     // not a folder
		{"..", "/a.png", "default", ""}, {"../secret", "/a.png", "default", ""}, // no ids
		{strings.Repeat("v", 65), "/a.png", "default", ""},
	} {
		body, name, err := fetchFor(t.Context(), c, row.id, row.href)
		if err != nil || body != row.body || name != row.name {
			t.Errorf("%q, %s: %q from %q, %v; want %q from %q", row.id, row.href, body, name, err, row.body, row.name)
		}
	}
	// A version that lacks a file lacks it: another version's is another image.
	_, _, err := fetchFor(t.Context(), c, "v1", "/only.png")
	want{status: 404, text: failure.TextInternalInvalid, reason: "origin_missing"}.check(t, err)

	// What comes out of a queue may be anything.
	for _, name := range []string{"../secret", "..", "v1/../../secret", "v1\x00", strings.Repeat("v", 65)} {
		_, err := c.Fetch(t.Context(), Request{Href: "/a.png", Deployment: name})
		want{status: 404, text: failure.TextInternalInvalid, reason: "origin_deployment"}.check(t, err)
		_, err = newTestClient(t, nil).Fetch(t.Context(), Request{Href: "/a.png", Deployment: name})
		want{status: 404, text: failure.TextInternalInvalid, reason: "origin_deployment"}.check(t, err)
	}

	// A folder may also be a link, and have links for its parts.
	link(t, "../releases/v2", filepath.Join(dir, "releases/linked"))
	if body, _, err := fetchFor(t.Context(), c, "linked", "/a.png"); err != nil || body != "v2" {
		t.Errorf("a linked folder: %q, %v", body, err)
	}
}

// What the version lacks may also come from an origin that all versions share.
func TestDeploymentSharedOrigin(t *testing.T) {
	_, c := newReleases(t, DeploymentOptions{Origins: []string{"file://DIR/releases/{dpl}", "file://DIR/default"}}, "v1")
	for href, want := range map[string]string{"/a.png": "v1", "/only.png": "only here"} {
		if body, _, err := fetchFor(t.Context(), c, "v1", href); err != nil || body != want {
			t.Errorf("%s: %q, %v", href, body, err)
		}
	}
	if body, name, err := fetchFor(t.Context(), c, "v2", "/a.png"); err != nil || body != "default" || name != "" {
		t.Errorf("unknown: %q from %q, %v", body, name, err)
	}
}

// Versions that are listed are not looked for, and others are unknown.
func TestDeploymentList(t *testing.T) {
	dir, c := newReleases(t, DeploymentOptions{Origins: []string{"file://DIR/releases/{dpl}", "file://DIR/default"}, IDs: []string{"v1", "v4"}}, "v1", "v2")
	if name, settled := c.Deployment("v1"); name != "v1" || !settled {
		t.Errorf("v1 is %q, %v", name, settled)
	}
	if name, settled := c.Deployment("v2"); name != "" || !settled {
		t.Errorf("v2 is %q, %v", name, settled)
	}
	for id, want := range map[string]string{"v1": "v1", "v2": "default", "v4": "default"} {
		if body, _, err := fetchFor(t.Context(), c, id, "/a.png"); err != nil || body != want {
			t.Errorf("%s: %q, %v", id, body, err)
		}
	}
	write(t, dir, map[string]string{"releases/v4/public/a.png": "v4", "releases/v4/.next/BUILD_ID": "x"})
	if body, _, err := fetchFor(t.Context(), c, "v4", "/a.png"); err != nil || body != "v4" {
		t.Errorf("v4 after it came: %q, %v", body, err)
	}
}

func TestDeploymentOptions(t *testing.T) {
	for _, row := range []struct {
		o     DeploymentOptions
		named string
	}{
		{DeploymentOptions{Origins: []string{"http://frontend"}}, "{dpl}"},
		{DeploymentOptions{Origins: []string{"http://{dpl}"}}, "leaves the host"},
		{DeploymentOptions{Origins: []string{"http://a-{dpl}", "http://u:s3cret@{dpl}"}}, "leaves the host"},
		{DeploymentOptions{Origins: []string{"http://a-{dpl}?x"}}, "query"},
		{DeploymentOptions{Origins: []string{"http://a-{dpl}", "ftp://x"}}, "unknown scheme"},
		{DeploymentOptions{Origins: []string{"file://srv/x/{dpl}"}}, "absolute path"},
		{DeploymentOptions{Origins: []string{"http://" + strings.Repeat("a", 63) + "{dpl}"}}, "too long"},
		{DeploymentOptions{Origins: []string{"http://a-{dpl}"}, IDs: []string{"a.b"}}, `"a.b"`},
		{DeploymentOptions{Origins: []string{"http://a-{dpl}"}, IDs: []string{strings.Repeat("x", 62)}}, "no such deployment"},
		{DeploymentOptions{IDs: []string{"a"}}, "no origin"},
	} {
		_, err := New(Options{Timeout: time.Second, MaxBody: 1, Deployments: row.o})
		if err == nil || !strings.Contains(err.Error(), row.named) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v, want %q", row.o, err, row.named)
		}
	}
}

// newNamed returns a client whose versions are hosts.
func newNamed(t *testing.T, n *names, template string) *Client {
	return newTestClient(t, func(o *Options) {
		o.Origins, o.Resolver, o.Deployments = []string{"http://frontend:3000"}, n, DeploymentOptions{Origins: []string{template}}
	})
}

// What was found out holds for a while, and is found out again by one request.
func TestDeploymentHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{hosts: map[string]bool{"frontend-v1": true}}
		c := newNamed(t, n, "http://frontend-{dpl}:3000")
		find := func(id, want string, asked int64) {
			t.Helper()
			before := n.asked.Load()
			if name, err := c.FindDeployment(t.Context(), id); err != nil || name != want {
				t.Errorf("%s is %q, %v, want %q", id, name, err, want)
			}
			if got := n.asked.Load() - before; got != asked {
				t.Errorf("%s: %d look-ups, want %d", id, got, asked)
			}
		}
		find("v1", "v1", 1)
		find("v1", "v1", 0)
		find("V1", "v1", 0) // one host, one name: or a client could have an image made 2^n times
		find("v2", "", 1)
		find("v2", "", 0)

		// A version is new.
		n.set("frontend-v2", true)
		time.Sleep(unknownFor)
		if name, settled := c.Deployment("v2"); name != "" || settled {
			t.Errorf("v2 is %q, %v when its time is over", name, settled)
		}
		find("v2", "v2", 1)

		// The name server fails: what is known holds, what is not cannot be said.
		time.Sleep(knownFor)
		n.set("frontend-v1", false)
		n.set("frontend-v3", false)
		if name, settled := c.Deployment("v1"); name != "v1" || !settled {
			t.Errorf("v1 is %q, %v: hits have to wait", name, settled)
		}
		find("v1", "v1", 1)
		find("v1", "v1", 0)
		_, err := c.FindDeployment(t.Context(), "v3")
		want{status: 502, text: failure.TextUpstreamInvalid, reason: "origin_deployment", retryable: true}.check(t, err)

		// A version is gone.
		n.remove("frontend-v1")
		time.Sleep(knownFor)
		find("v1", "", 1)
		_, err = c.Fetch(t.Context(), Request{Href: "/a.png", Deployment: "v1"})
		if f := (want{status: 404, text: failure.TextInternalInvalid, reason: "origin_deployment"}).check(t, err); !errors.Is(f, errNoVersion) {
			t.Errorf("%v", f)
		}

		// What was unknown stays so while nobody can tell.
		find("v4", "", 1)
		time.Sleep(unknownFor)
		n.set("frontend-v4", false)
		find("v4", "", 1)
	})
}

// Clients may invent as many ids as they like: what is remembered of them is bounded, name servers are asked no more
// than so often, and versions that exist are not forgotten over it.
func TestDeploymentFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{hosts: map[string]bool{"frontend-v1": true}}
		c := newNamed(t, n, "http://frontend-{dpl}:3000")
		if name, err := c.FindDeployment(t.Context(), "v1"); name != "v1" || err != nil {
			t.Fatal(name, err)
		}
		refused, unknown := 0, 0
		for second := range 20 {
			for i := range 1000 {
				name, err := c.FindDeployment(t.Context(), fmt.Sprintf("x%d-%d", second, i))
				switch {
				case err == nil && name == "":
					unknown++
				case failure.From(err).Status == http.StatusServiceUnavailable && failure.From(err).RetryAfter > 0:
					refused++
				default:
					t.Fatal(name, err)
				}
			}
			time.Sleep(time.Second)
		}
		if most := looksAtOnce + 20*looksEverySec; unknown > most || unknown < 19*looksEverySec {
			t.Errorf("%d of 20000 unknown ids were looked for in 20 s, want about %d", unknown, most)
		}
		if refused+unknown != 20000 {
			t.Errorf("%d refused, %d unknown", refused, unknown)
		}
		if d := c.deployments; len(d.unknown) > maxUnknown || len(d.known) != 1 {
			t.Errorf("%d unknown and %d known ids are remembered", len(d.unknown), len(d.known))
		}
		if name, settled := c.Deployment("v1"); name != "v1" || !settled {
			t.Errorf("v1 is %q, %v", name, settled)
		}
	})
}

// Where every name resolves, what is remembered is bounded too.
func TestDeploymentWildcard(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for i := range maxKnown + 50 {
		ids = append(ids, fmt.Sprintf("v%d", i))
		if err := os.Mkdir(filepath.Join(dir, ids[i]), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := newTestClient(t, func(o *Options) { o.Deployments.Origins = []string{"file://" + dir + "/{dpl}"} })
	for _, id := range ids {
		if name, err := c.FindDeployment(t.Context(), id); name != id || err != nil {
			t.Fatal(name, err)
		}
	}
	if n := len(c.deployments.known); n != maxKnown {
		t.Errorf("%d are remembered, want %d", n, maxKnown)
	}
}

// Many ask for a new version at once: it is looked for once. One that leaves does not end the look of the others.
func TestDeploymentTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{hosts: map[string]bool{"frontend-v1": true}, delay: time.Second}
		c := newNamed(t, n, "http://frontend-{dpl}:3000")
		gone, leave := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for i := range 50 {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = gone
			}
			clients.Go(func() {
				if name, err := c.FindDeployment(ctx, "v1"); name != "v1" || err != nil {
					t.Error(name, err)
				}
			})
		}
		synctest.Wait()
		leave()
		clients.Wait()
		if asked := n.asked.Load(); asked != 1 {
			t.Errorf("%d look-ups", asked)
		}
		// A name server that does not answer does not hold anybody for long.
		n.delay = time.Hour
		began := time.Now()
		if _, err := c.FindDeployment(t.Context(), "v2"); err == nil || time.Since(began) != lookTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.Close()
		if _, err := c.FindDeployment(t.Context(), "v2"); err == nil {
			t.Error("found after Close")
		}
	})
}

// The headers and the wire are those of any origin.
func TestDeploymentServers(t *testing.T) {
	var mu sync.Mutex
	var hosts []string
	handler := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			hosts = append(hosts, r.Host+r.RequestURI)
			fmt.Fprint(w, name)
		}
	}
	one := newTestServer(t, handler("v1"))
	_, port, _ := net.SplitHostPort(one.Listener.Addr().String())
	// "localhost" is the one name that every machine resolves; a name server is not needed for the rest.
	c := newTestClient(t, func(o *Options) {
		o.Deployments = DeploymentOptions{Origins: []string{"http://{dpl}host:" + port}}
	})
	if body, name, err := fetchFor(t.Context(), c, "LOCAL", "/a.png?v=1"); err != nil || body != "v1" || name != "local" {
		t.Fatalf("%q from %q, %v", body, name, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "localhost:" + port + "/a.png?v=1"; len(hosts) != 1 || hosts[0] != want {
		t.Errorf("asked %q, want %q", hosts, want)
	}
}

// The folders that make up a project may be links out of it; nothing in them may.
func TestDirectoryOfLinkedProject(t *testing.T) {
	for name, lay := range map[string]func(t *testing.T, dir string){
		"none": func(*testing.T, string) {},
		".next": func(t *testing.T, dir string) {
			swap(t, dir, "app/.next", "builds/7")
		},
		".next, twice": func(t *testing.T, dir string) {
			swap(t, dir, "app/.next", "builds/7")
			link(t, filepath.Join(dir, "builds/7"), filepath.Join(dir, "builds/current"))
			if err := os.Remove(filepath.Join(dir, "app/.next")); err != nil {
				t.Fatal(err)
			}
			link(t, "../builds/current", filepath.Join(dir, "app/.next"))
		},
		"static": func(t *testing.T, dir string) {
			swap(t, dir, "app/.next/static", "shared/static")
		},
		".next and static": func(t *testing.T, dir string) {
			swap(t, dir, "app/.next/static", "shared/static")
			swap(t, dir, "app/.next", "builds/7")
		},
		"public": func(t *testing.T, dir string) {
			swap(t, dir, "app/public", "shared/public")
		},
		"all": func(t *testing.T, dir string) {
			swap(t, dir, "app/public", "shared/public")
			swap(t, dir, "app/.next", "builds/7")
			swap(t, dir, "app", "checkout")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{
				"app/.next/static/media/m.png": "media", "app/.next/server/secret.png": "secret", "app/.next/BUILD_ID": "x",
				"app/public/a.png": "public", "app/secret.png": "secret", "secret.png": "secret", "secrets/s.png": "secret",
			})
			lay(t, dir)
			for _, folder := range []string{"app/public", "app/.next/static", "app/.next/static/media"} {
				link(t, filepath.Join(dir, "secret.png"), filepath.Join(dir, folder, "out.png"))
				link(t, filepath.Join(dir, "secrets"), filepath.Join(dir, folder, "outdir"))
			}
			c := newDirectoryClient(t, filepath.Join(dir, "app"), "")
			for href, want := range map[string]string{"/a.png": "public", "/_next/static/media/m.png": "media"} {
				src, err := c.Fetch(t.Context(), Request{Href: href})
				if err != nil || string(src.Body) != want {
					t.Errorf("%s: %v", href, err)
				} else if strings.Contains(src.CacheControl, "immutable") != (want == "media") {
					t.Errorf("%s: %s", href, src.CacheControl)
				}
			}
			for _, href := range []string{"/out.png", "/outdir/s.png", "/_next/static/out.png", "/_next/static/outdir/s.png", "/_next/static/media/out.png", "/_next/static/media/outdir/s.png", "/secret.png", "/_next/server/secret.png"} {
				_, err := c.Fetch(t.Context(), Request{Href: href})
				want{status: 404, text: failure.TextInternalInvalid, reason: "origin_missing"}.check(t, err)
			}
		})
	}
}

// swap moves what is at one place to another and leaves a link.
func swap(t *testing.T, dir, from, to string) {
	t.Helper()
	from, to = filepath.Join(dir, from), filepath.Join(dir, to)
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
	link(t, to, from)
}

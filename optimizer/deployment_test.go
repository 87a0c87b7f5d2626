package optimizer_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/optimizer"
	"imgopt/validate"
)

// versions is what knows deployments: those of its keys are found, those that map to "" are known without.
type versions struct {
	mu    sync.Mutex
	known map[string]string
	found map[string]string
	err   error
	looks int
}

func (v *versions) Deployment(id string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name, ok := v.known[id]
	return name, ok
}

func (v *versions) FindDeployment(_ context.Context, id string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.looks++; v.err != nil {
		return "", v.err
	}
	v.known[id] = v.found[id]
	return v.found[id], nil
}

// perVersion is a fetcher with an image for each version.
type perVersion struct {
	mu     sync.Mutex
	bodies map[string][]byte
	asked  []string
}

func (f *perVersion) Fetch(_ context.Context, r fetch.Request) (*fetch.Source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Deployment)
	if f.bodies[r.Deployment] == nil {
		return nil, failure.New(http.StatusNotFound, "missing", "missing")
	}
	return &fetch.Source{Body: f.bodies[r.Deployment]}, nil
}

func TestDeployments(t *testing.T) {
	known := &versions{known: map[string]string{"same": ""}, found: map[string]string{"v1": "v1", "V1": "v1", "v2": "v2"}}
	fetcher := &perVersion{bodies: map[string][]byte{"": photo(t, 0), "v1": photo(t, 1), "v2": photo(t, 2)}}
	s := newService(t, newOrigin(t, serving(nil)), func(o *optimizer.Options) {
		o.Deployments, o.DeploymentOrigins, o.Fetcher = known, "http://frontend-{dpl}", fetcher
	})
	ask := func(id string) optimizer.Result {
		p := params
		p.Deployment = id
		return get(t, s, p)
	}
	plain := ask("")
	etags := map[string]string{plain.Entry.ETag: "none"}
	for _, id := range []string{"v1", "v2"} {
		p := params
		p.Deployment = id
		if _, ok := s.Lookup(p); ok {
			t.Errorf("%s was found in memory before anybody knew of it", id)
		}
		if _, ok := s.Cached(t.Context(), p); ok {
			t.Errorf("%s was found before anybody knew of it", id)
		}
		r := ask(id)
		if other, ok := etags[r.Entry.ETag]; ok || r.State != cache.Miss {
			t.Errorf("%s got the image of %s, %s", id, other, r.State)
		}
		etags[r.Entry.ETag] = id
		hit, ok := s.Lookup(p)
		if !ok || hit.Entry != r.Entry {
			t.Errorf("%s is not in memory afterwards", id)
		}
		if cached, ok := s.Cached(t.Context(), p); !ok || cached.Entry != r.Entry {
			t.Errorf("%s is not in the cache afterwards", id)
		}
		if r = ask(id); r.State != cache.Hit {
			t.Errorf("%s again: %s", id, r.State)
		}
	}
	// One version has one image, whatever it was called; what changes nothing has the image that everybody has.
	for id, want := range map[string]string{"V1": "v1", "same": "none", "unknown": "none"} {
		if r := ask(id); r.State != cache.Hit || etags[r.Entry.ETag] != want {
			t.Errorf("%s: %s of %s, want that of %s", id, r.State, etags[r.Entry.ETag], want)
		}
	}
	if len(fetcher.asked) != 3 {
		t.Errorf("fetched %q", fetcher.asked)
	}
	p := params
	p.Href, p.URL, p.Absolute, p.Deployment = "http://example.com/a.jpg", "http://example.com/a.jpg", true, "v1"
	if r := get(t, s, p); etags[r.Entry.ETag] != "none" {
		t.Errorf("an absolute url was fetched from the version %q", etags[r.Entry.ETag])
	}

	// Nobody can tell.
	known.err = failure.New(http.StatusBadGateway, "origin_deployment", "x")
	p = params
	p.Deployment = "v3"
	if _, err := s.Get(t.Context(), p); !errors.Is(err, known.err) {
		t.Errorf("%v", err)
	}
}

// A purge of a url is one of all its versions.
func TestDeploymentsArePurgedTogether(t *testing.T) {
	known := &versions{known: map[string]string{}, found: map[string]string{"v1": "v1"}}
	s := newService(t, newOrigin(t, serving(nil)), func(o *optimizer.Options) {
		o.Deployments, o.Fetcher = known, &perVersion{bodies: map[string][]byte{"": photo(t, 0), "v1": photo(t, 1)}}
	})
	for _, id := range []string{"", "v1"} {
		p := params
		p.Deployment = id
		if r := get(t, s, p); r.Entry.Href != "/a.jpg" {
			t.Errorf("%q: an entry of %q, which a purge of /a.jpg does not find", id, r.Entry.Href)
		}
	}
}

// Without deployments nothing that a request says of them means anything.
func TestNoDeployments(t *testing.T) {
	s := newService(t, newOrigin(t, serving(photo(t, 1))))
	first := get(t, s, params)
	p := params
	p.Deployment = "v1"
	if r := get(t, s, p); r.State != cache.Hit || r.Entry != first.Entry {
		t.Errorf("%s", r.State)
	}
}

func TestDeploymentKeys(t *testing.T) {
	s := newService(t, newOrigin(t, serving(nil)), func(o *optimizer.Options) {
		o.KeyParts, o.Origins, o.DeploymentOrigins = []string{"8.18", "options", "svg=false"}, "http://frontend", "http://frontend-{dpl}"
	})
	seen := map[cache.Key]string{}
	for _, id := range []string{"", "v1", "v2", "http://frontend"} {
		p := validate.Params{Href: "/a.jpg", Width: 64, Quality: 75, Deployment: id}
		k := s.Key(p)
		if other, ok := seen[k]; ok {
			t.Errorf("%q has the key of %q", id, other)
		}
		seen[k] = id
		if n := testing.AllocsPerRun(100, func() { s.Key(p) }); n > 0 {
			t.Errorf("the key with %q takes %v allocations", id, n)
		}
	}
}

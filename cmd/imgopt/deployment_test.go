package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// setDeploymentID writes the deploymentId into a build's manifest.
func setDeploymentID(t *testing.T, dir, id string) {
	t.Helper()
	path := filepath.Join(dir, "required-server-files.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(data), `"config": {`, `"config": {"deploymentId": "`+id+`",`, 1)
	if with == string(data) {
		t.Fatal("no config in the manifest")
	}
	if err := os.WriteFile(path, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Two frontends have different bytes under the same url, and each page gets those of its own.
func TestDeployments(t *testing.T) {
	t.Parallel()
	// The version that has no name, and the one whose host every machine can resolve: a test brings no name server.
	newest, old := newOrigin(t, testImage(t, "photo-640.jpg")), newOrigin(t, testImage(t, "photo.jpg"))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(old.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	p := startService(t, "--origin="+newest.URL, "--deployment.origin=http://{dpl}host:"+port)
	target := p.image("/a.jpg", 64)
	plain := get(t, target)
	if plain.status != http.StatusOK || plain.header.Get("Vary") != "Accept, Cookie" {
		t.Fatalf("%v, Vary: %q", plain, plain.header.Get("Vary"))
	}
	byURL := get(t, target+"&dpl=local")
	if byURL.status != http.StatusOK || byURL.sum() == plain.sum() || byURL.header.Get("X-Nextjs-Cache") != "MISS" || byURL.header.Get("Vary") != "Accept" {
		t.Fatalf("%v, Vary: %q", byURL, byURL.header.Get("Vary"))
	}
	for _, row := range []struct {
		name, target string
		header       []string
		want         *response
	}{
		{"cookie", target, []string{"Cookie", "__plt_dpl=local"}, byURL},
		{"upper case", target + "&dpl=LOCAL", nil, byURL},
		{"url and cookie", target + "&dpl=local", []string{"Cookie", "__plt_dpl=nowhere"}, byURL},
		{"unknown", target + "&dpl=nowhere-to-be-found-", nil, plain},
		{"no id", target + "&dpl=127.0.0.1%2F", nil, plain},
		{"unknown cookie", target, []string{"Cookie", "__plt_dpl=nowhere-to-be-found-"}, plain},
		{"another cookie", target, []string{"Cookie", "__vdpl=local"}, plain},
	} {
		r := get(t, row.target, row.header...)
		if r.status != http.StatusOK || r.sum() != row.want.sum() || r.header.Get("X-Nextjs-Cache") != "HIT" {
			t.Errorf("%s: %v", row.name, r)
		}
	}
	if newest.fetches.Load() != 1 || old.fetches.Load() != 1 {
		t.Errorf("%d and %d fetches for one image of each", newest.fetches.Load(), old.fetches.Load())
	}

	// Without the key, ids mean nothing, and Vary is Next.js'.
	q := startService(t, "--origin="+newest.URL)
	for _, suffix := range []string{"", "&dpl=local"} {
		r := get(t, q.image("/a.jpg", 64)+suffix, "Cookie", "__plt_dpl=local")
		if r.status != http.StatusOK || r.sum() != plain.sum() || r.header.Get("Vary") != "Accept" {
			t.Errorf("%q without deployments: %v, Vary: %q", suffix, r, r.header.Get("Vary"))
		}
	}
}

// On a machine where releases are folders and a link names the current one, each page gets the files of its release. The
// current one is what origin serves; a new one is known by its build.
func TestDeploymentReleases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release := func(id, image string) {
		t.Helper()
		build := filepath.Join(dir, "releases", id, ".next")
		public := filepath.Join(dir, "releases", id, "public")
		if err := os.MkdirAll(public, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(build, os.DirFS(filepath.Join(testBuilds, "defaults"))); err != nil {
			t.Fatal(err)
		}
		setDeploymentID(t, build, id)
		if err := os.WriteFile(filepath.Join(build, "BUILD_ID"), []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(public, "hero.jpg"), testImage(t, image), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "current")
	point := func(id string) {
		t.Helper()
		if err := os.Symlink(filepath.Join("releases", id), current+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(current+".new", current); err != nil {
			t.Fatal(err)
		}
	}
	release("v1", "photo-640.jpg")
	point("v1")
	p := startService(t, "--nextDir="+current, "--origin=file://"+current, "--deployment.origin=file://"+dir+"/releases/{dpl}")
	target := p.image("/hero.jpg", 64)
	one := get(t, target+"&dpl=v1")
	if one.status != http.StatusOK {
		t.Fatal(one)
	}
	same := func(name string, r, want *response, state string) {
		t.Helper()
		if r.status != http.StatusOK || r.sum() != want.sum() || r.header.Get("X-Nextjs-Cache") != state {
			t.Errorf("%s: %v, want %v as a %s", name, r, want, state)
		}
	}
	same("without an id", get(t, target), one, "HIT") // its own version has no copy of what it serves anyway

	release("v2", "photo.jpg")
	two := get(t, target+"&dpl=v2")
	if two.status != http.StatusOK || two.sum() == one.sum() {
		t.Fatalf("v2 before it is current: %v", two)
	}
	point("v2")
	if l := p.reloaded(t, 1); l.Level != "INFO" || l.By != byBuild || l.Changed != "nextDir" {
		t.Errorf("logged as %+v", l)
	}
	// What was v1's is not taken for v2's, although the url is the same, and v1 is still there for its pages.
	same("v2", get(t, target+"&dpl=v2"), two, "MISS")
	same("without an id", get(t, target), two, "HIT")
	same("v1", get(t, target+"&dpl=v1"), one, "MISS")
	same("v1 again", get(t, target+"&dpl=v1"), one, "HIT")
}

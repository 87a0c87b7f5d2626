package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"imgopt/config"
	"imgopt/transform"
	"imgopt/valkey/valkeytest"
)

// profileFile is a configuration with nothing but a profile.
func profileFile(t *testing.T, profile transform.Profile) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "imgopt.yaml")
	if err := os.WriteFile(file, []byte("transform: {profile: "+string(profile)+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config=" + file
}

// Whatever the configuration takes, the encoders know.
func TestEveryProfileCanBeConfigured(t *testing.T) {
	allowed := ""
	for _, key := range config.Flags() {
		if key.Name == "transform.profile" {
			allowed = key.Allowed
		}
	}
	var names []string
	for _, profile := range transform.Profiles() {
		names = append(names, string(profile))
		c, _, err := config.Load(config.Sources{Flags: []config.Flag{{Name: "transform.profile", Value: string(profile)}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := engineOptions(c).Profile; got != profile {
			t.Errorf("%s reaches the engine as %q", profile, got)
		}
	}
	if words := strings.FieldsFunc(strings.Replace(allowed, " or ", ", ", 1), func(r rune) bool { return r == ',' || r == ' ' }); !slices.Equal(words, names) {
		t.Errorf("the key takes %q, the encoders know %q", words, names)
	}
}

// The profile of the file reaches the encoders, and no cache gives one profile's images to another.
func TestProfilesShareACacheButNoImage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	images := "--origin=" + imagesOrigin(t)
	made := map[transform.Profile][]*response{}
	accepts := []string{"image/webp", "image/avif", "image/jpeg"}
	for _, state := range []string{"MISS", "HIT"} {
		for _, profile := range transform.Profiles() {
			p := startService(t, profileFile(t, profile), images, "--cache.disk.path="+folder, "--images.formats=image/avif,image/webp")
			for i, accept := range accepts {
				r := get(t, p.image("/photo-640.jpg", 64), "Accept", accept)
				checkHeader(t, r, map[string]string{"X-Nextjs-Cache": state, "Content-Type": accept})
				if state == "MISS" {
					made[profile] = append(made[profile], r)
					continue
				}
				if first := made[profile][i]; r.sum() != first.sum() || r.header.Get("ETag") != first.header.Get("ETag") {
					t.Errorf("%s %s: what was kept is not what was made", profile, accept)
				}
			}
			p.signal(t, syscall.SIGTERM)
			if code := p.exitCode(t); code != 0 {
				t.Errorf("%s: exit code %d", profile, code)
			}
		}
	}
	reference := made[transform.ProfileNext]
	for _, profile := range []transform.Profile{transform.ProfileFast, transform.ProfileSmall} {
		differ := 0
		for i := range accepts {
			if made[profile][i].sum() != reference[i].sum() {
				differ++
			}
		}
		if differ == 0 {
			t.Errorf("%s: all bytes are those of Next.js", profile)
		}
	}
}

// A worker does no jobs of another profile, for whoever asks.
func TestWorkersHaveAProfile(t *testing.T) {
	t.Parallel()
	valkeytest.Need(t)
	server := valkeytest.Start(t, valkeytest.Options{})
	shared := []string{"--origin=" + imagesOrigin(t), "--storage.type=valkey", "--storage.url=" + server.URL(), "--storage.timeout=5s"}
	startProcess(t, "imgopt", slices.Concat([]string{"serve", "--role=worker", noAdmin, profileFile(t, transform.ProfileFast)}, shared)...)
	web := startService(t, slices.Concat([]string{"--role=web", profileFile(t, transform.ProfileFast)}, shared)...)
	own := startService(t, slices.Concat([]string{profileFile(t, transform.ProfileNext)}, shared)...)
	fast := get(t, web.image("/photo-640.jpg", 64), "Accept", "image/webp")
	next := get(t, own.image("/photo-640.jpg", 64), "Accept", "image/webp")
	for _, r := range []*response{fast, next} {
		checkHeader(t, r, map[string]string{"X-Nextjs-Cache": "MISS", "Content-Type": "image/webp"})
	}
	if fast.sum() == next.sum() {
		t.Error("both profiles have the same bytes")
	}
	if want, ok := nextSum(t, "photo-640.jpg", 64, "image/webp"); ok && next.sum() != want {
		t.Error("the bytes of the profile next are not those of Next.js")
	}
	// Nobody would do jobs of the third profile.
	p := startProcess(t, "imgopt", slices.Concat([]string{"prewarm", "--queue", profileFile(t, transform.ProfileSmall)}, shared, []string{list(t, "/photo-640.jpg")})...)
	if code := p.exitCode(t); code != 1 || !strings.Contains(p.stderr.String(), "no worker with this version and configuration") {
		t.Errorf("exit code %d, %s", code, p.stderr.String())
	}
}

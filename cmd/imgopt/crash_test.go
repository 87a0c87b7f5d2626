package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// children lists the codec processes of a service.
func children(t *testing.T, p *process) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …, and the name may hold anything: proc(5)
		text := string(b)
		after := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(after) > 1 && after[0] != "Z" && after[1] == strconv.Itoa(p.cmd.Process.Pid) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pid)
		}
	}
	return out
}

func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// onlyCodec is the codec process of a service that has one.
func onlyCodec(t *testing.T, p *process) int {
	t.Helper()
	pids := children(t, p)
	if len(pids) != 1 {
		t.Fatalf("codec processes: %v, want one", pids)
	}
	return pids[0]
}

// A codec process that dies, at rest or at work, costs nobody an image.
func TestCodecKilled(t *testing.T) {
	t.Parallel()
	p := startService(t, "--origin="+imagesOrigin(t), "--transform.workers=1", "--transform.timeout=30s", "--images.formats=image/avif,image/webp")
	expect := func(file string, r *response) {
		t.Helper()
		want, ok := nextSum(t, file, 64, "image/webp")
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "image/webp" || ok && r.sum() != want {
			t.Errorf("%s: %v, want it encoded", file, r)
		}
	}

	atRest := onlyCodec(t, p)
	send(t, atRest, syscall.SIGKILL)
	expect("photo-640.jpg", get(t, p.image("/photo-640.jpg", 64), "Accept", "image/webp"))
	atWork := onlyCodec(t, p)
	if atWork == atRest {
		t.Fatal("the codec process is still the one that was killed")
	}

	// One that is stopped is found out when it is to do something.
	send(t, atWork, syscall.SIGSTOP)
	expect("photo-641.jpg", get(t, p.image("/photo-641.jpg", 64), "Accept", "image/webp"))
	if onlyCodec(t, p) == atWork {
		t.Error("the stopped process is still the codec")
	}
	if n := p.metric(t, `imgopt_codec_replaced_total{reason="stopped"}`); n != 1 {
		t.Errorf("%v stopped processes counted, want 1", n)
	}

	// AVIF takes a while: long enough to be killed in the middle of it.
	atWork = onlyCodec(t, p)
	done := asking(p.image("/photo-640.jpg", 640), "Accept", "image/avif")
	eventually(t, "the codec process has a job", func() bool { return p.metric(t, `imgopt_codec_processes{state="busy"}`) == 1 })
	send(t, atWork, syscall.SIGKILL)
	if r := wait(t, done); r.status != http.StatusOK || r.header.Get("Content-Type") != "image/avif" {
		t.Errorf("%v, want it encoded", r)
	}
	if n := p.metric(t, `imgopt_codec_jobs_total{outcome="encoded"}`); n != 3 {
		t.Errorf("%v encoded jobs counted, want 3", n)
	}
}

// A service that dies takes its codec processes along.
func TestCodecsDieWithService(t *testing.T) {
	t.Parallel()
	p := startService(t, "--origin="+imagesOrigin(t), "--transform.workers=2")
	pids := children(t, p)
	if len(pids) != 2 {
		t.Fatalf("codec processes: %v, want two", pids)
	}
	p.kill(t)
	for _, pid := range pids {
		eventually(t, "the codec process has ended", func() bool { return ended(pid) })
	}
}

// ended reports whether a process has ended, although nobody may have asked how.
func ended(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	text := string(b)
	return err != nil || strings.HasPrefix(text[strings.LastIndexByte(text, ')')+1:], " Z")
}

// What one process has stored, the next one serves, however the first one ended.
func TestDiskCacheWarm(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	flags := []string{"--origin=" + o.URL, "--cache.disk.path=" + t.TempDir(), "--cache.disk.max=10MB"}
	p := startService(t, flags...)
	first := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
	checkHeader(t, first, map[string]string{"X-Nextjs-Cache": "MISS"})
	p.kill(t)

	p = startService(t, flags...)
	second := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
	checkHeader(t, second, map[string]string{"X-Nextjs-Cache": "HIT", "ETag": first.header.Get("ETag"), "Content-Type": "image/webp"})
	if second.sum() != first.sum() {
		t.Errorf("other bytes after the restart: %v, %v", first, second)
	}
	if n := o.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}

	p = startService(t, flags...)
	checkHeader(t, get(t, p.image("/a.jpg", 64), "Accept", "image/webp"), map[string]string{"X-Nextjs-Cache": "HIT"})
}

// A revalidation that nobody waits for is done after a crash, by the next process, without being asked for again.
func TestRevalidationSurvivesCrash(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	flags := []string{"--origin=" + o.URL, "--storage.type=filesystem", "--storage.path=" + t.TempDir(), "--cache.disk.path=" + t.TempDir(), "--cache.disk.max=10MB"}
	p := startService(t, append(flags, "--images.minimumCacheTTL=1")...)
	old := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
	checkHeader(t, old, map[string]string{"X-Nextjs-Cache": "MISS"})

	o.pause()
	eventually(t, "the entry is stale", func() bool {
		r := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
		if r.sum() != old.sum() {
			t.Fatalf("other bytes than before: %v", r)
		}
		return r.header.Get("X-Nextjs-Cache") == "STALE"
	})
	eventually(t, "the revalidation is under way", func() bool { return o.fetches.Load() == 2 })
	p.kill(t)

	changed := testImage(t, "photo-641.jpg")
	o.image.Store(&changed)
	o.resume()
	p = startService(t, flags...)
	eventually(t, "the revalidation has been done", func() bool {
		return p.metric(t, `imgopt_cache_revalidations_total{outcome="changed"}`) == 1
	})
	renewed := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
	checkHeader(t, renewed, map[string]string{"X-Nextjs-Cache": "HIT"})
	if want, ok := nextSum(t, "photo-641.jpg", 64, "image/webp"); renewed.sum() == old.sum() || ok && renewed.sum() != want {
		t.Errorf("not the new image: %v", renewed)
	}
	if n := o.fetches.Load(); n != 3 {
		t.Errorf("%d fetches, want 3", n)
	}
}

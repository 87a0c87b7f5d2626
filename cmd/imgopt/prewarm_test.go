package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"imgopt/prewarm"
	"imgopt/valkey/valkeytest"
)

// prewarming runs `imgopt prewarm --json` to its end.
func prewarming(t *testing.T, flags ...string) (*prewarm.Report, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "imgopt", append([]string{"prewarm", "--json"}, flags...)...)
	cmd.Env = environment("TMPDIR=" + t.TempDir())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if strings.Contains(stderr.String(), "panic") || strings.Contains(stderr.String(), "DATA RACE") {
		t.Error("the process panicked or raced")
	}
	var report prewarm.Report
	if bad := json.Unmarshal(stdout.Bytes(), &report); bad != nil || t.Failed() {
		t.Fatalf("%v, %v\n%s\n%s", err, bad, stdout.String(), stderr.String())
	}
	return &report, cmd.ProcessState.ExitCode()
}

// site is an origin whose images differ, and that lacks some.
type site struct {
	*httptest.Server
	fetches atomic.Int64
}

func newWarmSite(t *testing.T) *site {
	t.Helper()
	files := map[string][]byte{"/photo.jpg": testImage(t, "photo-640.jpg"), "/alpha.png": testImage(t, "png-rgba-8.png"), "/face.jpg": testImage(t, "photo-face.jpg")}
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		w.Header().Set("Cache-Control", "max-age=77777")
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, r.URL.Path, time.Unix(1e9, 0), bytes.NewReader(b))
	}))
	t.Cleanup(s.Close)
	return s
}

// warmSources are those of a site that are there, warmWidths and warmAccepts what is asked for of each.
var (
	warmSources = []string{"/photo.jpg", "/alpha.png", "/face.jpg"}
	warmWidths  = []int{64, 256, 640}
	warmAccepts = []string{"image/avif,image/webp,*/*", "image/webp,*/*", "*/*"}
)

const warmVariants = 3 * 3 * 3

// list writes a list of urls.
func list(t *testing.T, urls ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "urls")
	if err := os.WriteFile(name, []byte(strings.Join(urls, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--urls=" + name
}

// sameAnswers compares what two services answer. Everything has to be a HIT in the first.
func sameAnswers(t *testing.T, warm, fresh *process) {
	t.Helper()
	for _, source := range warmSources {
		for _, width := range warmWidths {
			for _, accept := range warmAccepts {
				got, want := get(t, warm.image(source, width), "Accept", accept), get(t, fresh.image(source, width), "Accept", accept)
				checkHeader(t, got, map[string]string{"X-Nextjs-Cache": "HIT"})
				for _, name := range []string{"Content-Type", "ETag", "Cache-Control", "Content-Disposition", "Vary", "Content-Length"} {
					if a, b := got.header.Get(name), want.header.Get(name); a != b {
						t.Errorf("%s %d %s: %s is %q, without pre-warming %q", source, width, accept, name, a, b)
					}
				}
				if got.status != http.StatusOK || !bytes.Equal(got.body, want.body) {
					t.Errorf("%s %d %s: other bytes than without pre-warming: %v", source, width, accept, got)
				}
			}
		}
	}
}

var warmFlags = []string{"--images.formats=image/avif,image/webp", "--images.deviceSizes=640", "--images.imageSizes=64,256"}

// A folder that was warmed without a service gives nothing but hits, to one that ran meanwhile and to one that is started
// afterwards, with the bytes and headers that requests would have got.
func TestPrewarmFolder(t *testing.T) {
	t.Parallel()
	s, folder := newWarmSite(t), filepath.Join(t.TempDir(), "cache")
	common := append([]string{"--origin=" + s.URL}, warmFlags...)
	withCache := append([]string{"--cache.disk.path=" + folder}, common...)
	running := startService(t, withCache...)
	fresh := startService(t, common...)

	report, code := prewarming(t, append(withCache, list(t, warmSources...))...)
	if code != 0 || report.Made != warmVariants || report.Warm != warmVariants || report.Verified != warmVariants || report.Failed != 0 {
		t.Fatalf("exit code %d, %+v", code, report)
	}
	if !strings.Contains(report.Target, folder) || report.SourcesMeasured != len(warmSources) || report.SavedOf == 0 {
		t.Errorf("the report does not tell where, or what is saved: %+v", report)
	}
	if n := s.fetches.Load(); n != int64(len(warmSources)) {
		t.Errorf("%d fetches of %d sources", n, len(warmSources))
	}
	// Once more: everything is there.
	if report, code = prewarming(t, append(withCache, list(t, warmSources...))...); code != 0 || report.Hit != warmVariants || s.fetches.Load() != int64(len(warmSources)) {
		t.Errorf("once more: exit code %d, %d hits, %d fetches", code, report.Hit, s.fetches.Load())
	}
	later := startService(t, withCache...)
	s.fetches.Store(0)
	sameAnswers(t, running, fresh)
	sameAnswers(t, later, fresh)
	if n := s.fetches.Load(); n != warmVariants { // of fresh
		t.Errorf("%d fetches, want %d", n, warmVariants)
	}
}

// What cannot be made is a failure with its reason, and what can be made is warm.
func TestPrewarmFolderWithFailures(t *testing.T) {
	t.Parallel()
	s, folder := newWarmSite(t), filepath.Join(t.TempDir(), "cache")
	flags := append([]string{"--origin=" + s.URL, "--cache.disk.path=" + folder, "--attempts=2"}, warmFlags...)
	journal := "--resume=" + filepath.Join(t.TempDir(), "journal")
	flags = append(flags, journal, list(t, "/photo.jpg", "/gone.jpg"))
	report, code := prewarming(t, flags...)
	if code != 1 || report.Made != warmVariants/3 || report.Failed != warmVariants/3 || report.Failures[0].Status != http.StatusNotFound {
		t.Errorf("exit code %d, %+v", code, report)
	}
	report, code = prewarming(t, flags...)
	if code != 1 || report.Resumed != warmVariants/3 {
		t.Errorf("exit code %d, %d done earlier", code, report.Resumed)
	}
}

// An interrupted pre-warming leaves no process behind, and says what is left.
func TestPrewarmFolderInterrupted(t *testing.T) {
	t.Parallel()
	hanging := newOrigin(t, testImage(t, "photo.jpg"))
	hanging.pause()
	defer hanging.resume()
	p := startProcess(t, "imgopt", append([]string{"prewarm", "--origin=" + hanging.URL, "--cache.disk.path=" + filepath.Join(t.TempDir(), "cache"),
		list(t, warmSources...)}, warmFlags...)...)
	eventually(t, "a source is being fetched", func() bool { return hanging.fetches.Load() > 0 })
	p.signal(t, syscall.SIGINT)
	if code := p.exitCode(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

// A Valkey tier that was warmed, directly or by a worker through the queue, gives nothing but hits.
func TestPrewarmValkey(t *testing.T) {
	t.Parallel()
	valkeytest.Need(t)
	for _, queued := range []bool{false, true} {
		t.Run(fmt.Sprintf("queue=%t", queued), func(t *testing.T) {
			t.Parallel()
			s, server := newWarmSite(t), valkeytest.Start(t, valkeytest.Options{})
			common := append([]string{"--origin=" + s.URL, "--storage.timeout=5s"}, warmFlags...)
			shared := append([]string{"--storage.type=valkey", "--storage.url=" + server.URL()}, common...)
			flags := shared
			if queued {
				startProcess(t, "imgopt", append([]string{"serve", "--role=worker", "--adminListen="}, shared...)...)
				flags = append([]string{"--queue"}, shared...)
			}
			report, code := prewarming(t, append(flags, list(t, warmSources...))...)
			if code != 0 || report.Made != warmVariants || report.Verified != warmVariants || report.Failed != 0 {
				t.Fatalf("exit code %d, %+v", code, report)
			}
			if n := s.fetches.Load(); !queued && n != int64(len(warmSources)) {
				t.Errorf("%d fetches of %d sources", n, len(warmSources))
			}
			if report, code = prewarming(t, append(flags, list(t, warmSources...))...); code != 0 || report.Hit != warmVariants {
				t.Errorf("once more: exit code %d, %d hits", code, report.Hit)
			}
			if queued {
				report, code = prewarming(t, append(flags, "--widths=64", "--formats=webp", list(t, "/gone.jpg"))...)
				if code != 1 || report.Failed != 1 || report.Failures[0].Status != http.StatusNotFound {
					t.Errorf("what is not there: exit code %d, %+v", code, report)
				}
			}
			sameAnswers(t, startService(t, shared...), startService(t, common...))
		})
	}
}

// Without Valkey, or without a worker, nothing is tried for long.
func TestPrewarmWithoutValkey(t *testing.T) {
	t.Parallel()
	valkeytest.Need(t)
	s, server := newWarmSite(t), valkeytest.Start(t, valkeytest.Options{})
	for url, want := range map[string]string{
		"valkey://127.0.0.1:1": "valkey cannot be reached",
		server.URL():           "no worker",
	} {
		p := startProcess(t, "imgopt", append([]string{"prewarm", "--queue", "--origin=" + s.URL, "--storage.type=valkey", "--storage.url=" + url,
			list(t, warmSources...)}, warmFlags...)...)
		if code := p.exitCode(t); code != 1 || !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s", url, code, p.stderr.String())
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A folder as the origin: a real image over HTTP, with all headers of Next.js.
func TestServeFolder(t *testing.T) {
	t.Parallel()
	p := startService(t, "--origin="+imagesOrigin(t))
	target := p.image("/photo-640.jpg", 64)

	first := get(t, target, "Accept", "image/webp")
	if first.status != http.StatusOK {
		t.Fatalf("GET: %v", first)
	}
	if want, ok := nextSum(t, "photo-640.jpg", 64, "image/webp"); ok && first.sum() != want {
		t.Errorf("GET: %d bytes with the hash %s, Next.js' is %s", len(first.body), first.sum(), want)
	}
	want := map[string]string{
		"Content-Type":            "image/webp",
		"Content-Length":          strconv.Itoa(len(first.body)),
		"Content-Disposition":     `attachment; filename="photo-640.webp"`,
		"Content-Security-Policy": "script-src 'none'; frame-src 'none'; sandbox;",
		"Cache-Control":           "public, max-age=14400, must-revalidate",
		"Vary":                    "Accept",
		"X-Nextjs-Cache":          "MISS",
	}
	checkHeader(t, first, want)
	etag := first.header.Get("ETag")
	if etag == "" {
		t.Error("GET: no ETag")
	}

	want["X-Nextjs-Cache"], want["ETag"] = "HIT", etag
	again := get(t, target, "Accept", "image/webp")
	checkHeader(t, again, want)
	if again.status != http.StatusOK || again.sum() != first.sum() {
		t.Errorf("GET again: %v", again)
	}

	head, err := ask(http.MethodHead, target, "Accept", "image/webp")
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, head, want)
	if head.status != http.StatusOK || len(head.body) != 0 {
		t.Errorf("HEAD: %v", head)
	}

	unchanged := get(t, target, "Accept", "image/webp", "If-None-Match", etag)
	if unchanged.status != http.StatusNotModified || len(unchanged.body) != 0 {
		t.Errorf("If-None-Match: %v", unchanged)
	}
	checkHeader(t, unchanged, map[string]string{"ETag": etag, "Vary": "Accept", "Cache-Control": want["Cache-Control"], "Content-Type": ""})

	refused := get(t, p.image("/photo-640.jpg", 65))
	if refused.status != http.StatusBadRequest || string(refused.body) != `"w" parameter (width) of 65 is not allowed` {
		t.Errorf("a width that is not allowed: %v", refused)
	}
}

func checkHeader(t *testing.T, r *response, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := r.header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// nextSum is the hash of what Next.js made of an image, if this libvips is the one it used.
func nextSum(t *testing.T, file string, width int, format string) (string, bool) {
	t.Helper()
	if !pinned() || runtime.GOARCH != "amd64" {
		return "", false // measured with the pinned libvips, on x86-64
	}
	var cases []struct {
		File string
		Next struct {
			Variants []struct {
				Width          int
				Format, SHA256 string
			}
		}
	}
	if err := json.Unmarshal(testImage(t, "cases.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, v := range c.Next.Variants {
			if c.File == file && v.Width == width && v.Format == format {
				return v.SHA256, true
			}
		}
	}
	t.Fatalf("cases.json says nothing of %s, %d, %q", file, width, format)
	return "", false
}

// Where the codecs run changes nothing in their work.
func TestIsolation(t *testing.T) {
	t.Parallel()
	apart := startService(t, "--origin="+imagesOrigin(t), "--images.formats=image/avif,image/webp")
	within := startService(t, "--origin="+imagesOrigin(t), "--images.formats=image/avif,image/webp", "--transform.isolation=none")
	if n := len(children(t, apart)); n != runtime.GOMAXPROCS(0) {
		t.Errorf("isolation process: %d codec processes, want %d", n, runtime.GOMAXPROCS(0))
	}
	if n := len(children(t, within)); n != 0 {
		t.Errorf("isolation none: %d codec processes", n)
	}
	for _, file := range []string{
		"orientation-6.jpg", "jpeg-cmyk-profile.jpg", "corrupt-bits.jpg", "png-rgba-16.png", "gif-still.gif", "webp-alpha.webp",
		"avif-plain.avif", "tiff-lzw.tif",
	} {
		for _, accept := range []string{"image/avif", "image/webp", ""} {
			a := get(t, apart.image("/"+file, 64), "Accept", accept)
			b := get(t, within.image("/"+file, 64), "Accept", accept)
			a.header.Del("Date")
			b.header.Del("Date")
			if a.status != http.StatusOK || b.status != a.status || a.sum() != b.sum() || fmt.Sprint(a.header) != fmt.Sprint(b.header) {
				t.Errorf("%s as %q: in a process: %v\nwithin the service: %v", file, accept, a, b)
			}
			if want, ok := nextSum(t, file, 64, accept); ok && a.sum() != want {
				t.Errorf("%s as %q: the hash is %s, Next.js' is %s", file, accept, a.sum(), want)
			}
		}
	}
}

// The admin listener has what operators need, and the public one has none of it.
func TestAdmin(t *testing.T) {
	t.Parallel()
	p := startService(t, "--origin="+imagesOrigin(t))
	for path, want := range map[string]string{
		"/healthz":        "ok\n",
		"/readyz":         `"ready":true`,
		"/metrics":        "\nimgopt_build_info{",
		"/demo":           "<title>",
		"/demo/data.json": `"/photo-640.jpg"`,
	} {
		if r := get(t, p.admin+path); r.status != http.StatusOK || !strings.Contains(string(r.body), want) {
			t.Errorf("%s: %v, want %q in it", path, r, want)
		}
		if r := get(t, p.public+path); r.status != http.StatusNotFound {
			t.Errorf("%s of the public listener: %v", path, r)
		}
	}
	if r := get(t, p.admin+imagePath("/photo-640.jpg", 64)); r.status != http.StatusNotFound {
		t.Errorf("the endpoint of the admin listener: %v", r)
	}
	// An origin that is no folder has no demo page.
	p = startService(t, "--origin=http://127.0.0.1:9")
	if r := get(t, p.admin+"/demo"); r.status != http.StatusNotFound {
		t.Errorf("/demo without a folder: %v", r)
	}
}

// adminListen: "" is for those who want no second listener.
func TestAdminOff(t *testing.T) {
	t.Parallel()
	with := startService(t, "--origin="+imagesOrigin(t))
	if n := listeners(t, with); n != 2 {
		t.Errorf("%d listening sockets, want 2: counting does not work", n)
	}
	without := startService(t, "--origin="+imagesOrigin(t), noAdmin)
	if r := get(t, without.image("/photo-640.jpg", 64)); r.status != http.StatusOK {
		t.Errorf("an image: %v", r)
	}
	if n := listeners(t, without); n != 1 {
		t.Errorf("%d listening sockets, want 1", n)
	}
}

// listeners counts the TCP sockets on which a process listens.
func listeners(t *testing.T, p *process) int {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	own := map[string]bool{}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil {
			own[target] = true
		}
	}
	n := 0
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(filepath.Join(dir, "net", table))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			const state, inode, listen = 3, 9, "0A" // Documentation/networking/proc_net_tcp in Linux
			if f := strings.Fields(line); len(f) > inode && f[state] == listen && own["socket:["+f[inode]+"]"] {
				n++
			}
		}
	}
	return n
}

// A port in use is an error at once, and one that names the listener and the address.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for listener, flags := range map[string][]string{
		"public": {"--listen=" + address, "--adminListen=127.0.0.1:0"},
		"admin":  {"--listen=127.0.0.1:0", "--adminListen=" + address},
	} {
		p := startProcess(t, "imgopt", append([]string{"serve", "--origin=" + imagesOrigin(t)}, flags...)...)
		if code := p.exitCode(t); code != exitFailed {
			t.Errorf("%s: exit code %d, want %d", listener, code, exitFailed)
		}
		// Nothing else has been started before.
		want := "imgopt: opening the " + listener + " listener: listen tcp " + address + ": bind: address already in use\n"
		if got := p.stderr.String(); got != want {
			t.Errorf("%s: %q, want %q", listener, got, want)
		}
	}
}

// What serve needs and does not find ends it with a line that names it.
func TestCannotStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	folder := imagesOrigin(t)
	for name, flags := range map[string][]string{
		"origin":     {"--origin=file://" + file},
		"cache":      {"--origin=" + folder, "--cache.disk.path=" + file + "/cache"},
		"job folder": {"--origin=" + folder, "--storage.type=filesystem", "--storage.path=" + file + "/jobs"},
	} {
		p := startProcess(t, "imgopt", append([]string{"serve", "--listen=127.0.0.1:0", "--adminListen=127.0.0.1:0", "--log.level=warn"}, flags...)...)
		if code := p.exitCode(t); code != exitFailed {
			t.Errorf("%s: exit code %d, want %d", name, code, exitFailed)
		}
		got := p.stderr.String()
		if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "imgopt: ") || !strings.Contains(got, file) || !strings.Contains(got, name) {
			t.Errorf("%s: %q, want one line that names it and %s", name, got, file)
		}
	}
}

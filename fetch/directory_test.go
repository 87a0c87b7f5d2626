package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"imgopt/failure"
)

// write makes files with the given contents below root.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// newDirectoryClient returns a client whose only origin is dir.
func newDirectoryClient(t testing.TB, dir, basePath string) *Client {
	return newTestClient(t, func(o *Options) { o.Origins, o.BasePath = []string{"file://" + dir}, basePath })
}

func TestDirectory(t *testing.T) {
	parent := t.TempDir()
	root := filepath.Join(parent, "root")
	write(t, parent, map[string]string{"secret.png": "secret", "root-secret.png": "secret", "outside/x.png": "secret"})
	write(t, root, map[string]string{
		"a.png": "a", "a b.png": "ab", "ü.png": "ü", "100%.png": "100", "sub/x.png": "x", "sub/x..png": "dots", "h#x.png": "hash", "q?x.png": "question", "a%20b.png": "escaped", `back\slash.png`: "bs",
		".hidden.png": "h", ".well-known/x.png": "wk", "_next/static/media/m.png": "media", "_next/x.png": "nx", "empty.png": "", "big.png": strings.Repeat("x", testBody+1), "full.png": strings.Repeat("x", testBody),
		"..png": "dotdot", "...png": "dots",
	})
	link(t, "../secret.png", filepath.Join(root, "out.png"))
	link(t, filepath.Join(parent, "secret.png"), filepath.Join(root, "absolute.png"))
	link(t, "../outside", filepath.Join(root, "outdir"))
	link(t, "/dev/zero", filepath.Join(root, "zero.png"))
	link(t, "sub/x.png", filepath.Join(root, "in.png"))
	link(t, "sub", filepath.Join(root, "indir"))
	link(t, "loop.png", filepath.Join(root, "loop.png"))
	if err := syscall.Mkfifo(filepath.Join(root, "fifo.png"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(socket)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root) // the name of a socket is short
	if err := syscall.Bind(socket, &syscall.SockaddrUnix{Name: "socket.png"}); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)

	c := newDirectoryClient(t, root, "")
	for href, body := range map[string]string{
		"/a.png": "a", "/a.png?v=1": "a", "/a.png#f": "a", "/./a.png": "a", "/sub/../a.png": "a", "/sub/%2e%2E/a.png": "a", "/../a.png": "a", "/%61.png": "a",
		"/a b.png": "ab", "/a%20b.png": "ab", "/a%2520b.png": "escaped", "/ü.png": "ü", "/%C3%BC.png": "ü", "/%c3%bc.png": "ü", "/100%25.png": "100",
		"/sub/x.png": "x", "/sub%2Fx.png": "x", "/sub/x..png": "dots", "/h%23x.png": "hash", "/q%3Fx.png": "question", "/in.png": "x", "/indir/x.png": "x",
		"/.well-known/x.png": "wk", "/_next/static/media/m.png": "media", "/_next/x.png": "nx", "/full.png": strings.Repeat("x", testBody),
	} {
		src, err := c.Fetch(t.Context(), Request{Href: href})
		if err != nil || string(src.Body) != body {
			t.Errorf("%s: %v", href, err)
			continue
		}
		cacheControl := "public, max-age=0"
		if strings.HasPrefix(href, "/_next/static/") {
			cacheControl = "public, max-age=31536000, immutable"
		}
		if src.CacheControl != cacheControl || src.ContentType != "image/png" || !strings.HasPrefix(src.ETag, fmt.Sprintf(`W/"%x-`, len(body))) || src.LastModified == "" {
			t.Errorf("%s: %+v", href, src)
		}
	}
	missing := want{status: 404, text: failure.TextInternalInvalid, reason: "origin_missing"}
	slash := want{status: 500, text: failure.TextInternalInvalid, reason: "origin_path"}
	climbs := want{status: 404, text: failure.TextInternalInvalid, reason: "origin_path"}
	for href, w := range map[string]want{
		"/missing.png": missing, "/A.PNG": missing, "/": missing, "/sub": missing, "/a.png/x": missing, "/100%.png": missing, "/%ff.png": missing, "/a.png%00": missing, "/%00": missing,
		"/back%5Cslash.png": missing, "/sub%2F": missing, "/%2Fa.png": missing, "/sub%2F%2Fx.png": missing, "/sub%2F.%2Fx.png": missing, "/.%2Fa.png": missing, "/" + strings.Repeat("x", 300): missing, "/" + strings.Repeat("x/", 3000) + "x": missing,
		"/out.png": missing, "/absolute.png": missing, "/outdir/x.png": missing, "/zero.png": missing, "/loop.png": missing, "/fifo.png": missing, "/socket.png": missing, "/../secret.png": missing, "/../root-secret.png": missing, "/..-secret.png": missing,
		"/..%2fsecret.png": climbs, "/%2e%2e%2fsecret.png": climbs, "/sub/..%2f..%2fsecret.png": climbs, "/..%5csecret.png": climbs, "/..%00/a.png": missing,
		"//a.png": slash, "/sub//x.png": slash, "/a.png/": slash, "/sub/": slash, `/sub\x.png`: slash,
		"/.hidden.png": {status: 400, text: failure.TextInternalInvalid, reason: "origin_hidden"}, "/.missing.png": missing,
		"/..png":     {status: 400, text: failure.TextInternalInvalid, reason: "origin_hidden"},
		"/empty.png": {status: 400, text: failure.TextInternalInvalid, reason: "origin_empty"},
		"/big.png":   {status: 413, text: failure.TextInternalInvalid, reason: "origin_too_large"},
	} {
		_, err := c.Fetch(t.Context(), Request{Href: href})
		if err == nil {
			t.Errorf("%q: found", href)
			continue
		}
		if f := w.check(t, err); t.Failed() {
			t.Fatalf("%q: %v", href, f)
		}
	}
}

func TestDirectoryOfProject(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		".next/static/media/m.png": "media", ".next/server/secret.png": "secret", "public/a.png": "public", "public/static/s.png": "static", "secret.png": "secret",
		"public/_next/static/media/n.png": "never", ".next/x.png": "secret",
	})
	link(t, "../secret.png", filepath.Join(root, "public/in-project.png"))
	link(t, "../../etc/passwd", filepath.Join(root, "public/out.png"))
	for _, basePath := range []string{"", "/docs/v1"} {
		c := newDirectoryClient(t, root, basePath)
		for href, body := range map[string]string{"/_next/static/media/m.png": "media", "/a.png": "public", "/static/s.png": "static", "/in-project.png": "secret"} {
			src, err := c.Fetch(t.Context(), Request{Href: basePath + href})
			if err != nil || string(src.Body) != body {
				t.Errorf("%s%s: %v", basePath, href, err)
			} else if immutable := strings.Contains(src.CacheControl, "immutable"); immutable != (body == "media") {
				t.Errorf("%s%s: %s", basePath, href, src.CacheControl)
			}
		}
		for _, href := range []string{"/secret.png", "/.next/static/media/m.png", "/_next/static/media/n.png", "/_next/server/secret.png", "/_next/static/../server/secret.png", "/_next/static", "/_next/x.png", "/public/a.png", "/out.png"} {
			_, err := c.Fetch(t.Context(), Request{Href: basePath + href})
			want{status: 404, text: failure.TextInternalInvalid, reason: "origin_missing"}.check(t, err)
		}
	}
	c := newDirectoryClient(t, root, "/docs")
	for _, href := range []string{"/a.png", "/docs", "/docsa.png", "/docs2/a.png", "/DOCS/a.png", "/docs/../a.png"} {
		_, err := c.Fetch(t.Context(), Request{Href: href})
		want{status: 404, text: failure.TextInternalInvalid, reason: "origin_missing"}.check(t, err)
	}
}

// A deployment that swaps the directory is seen; while there is none, trying again may help.
func TestDirectorySwap(t *testing.T) {
	parent := t.TempDir()
	root := filepath.Join(parent, "current")
	write(t, root, map[string]string{"a.png": "old"})
	c := newDirectoryClient(t, root, "")
	for _, content := range []string{"old", "new"} {
		src, err := c.Fetch(t.Context(), Request{Href: "/a.png"})
		if err != nil || string(src.Body) != content {
			t.Errorf("%v, want %s", err, content)
		}
		if err := os.Rename(root, filepath.Join(parent, content)); err != nil {
			t.Fatal(err)
		}
		_, err = c.Fetch(t.Context(), Request{Href: "/a.png"})
		want{status: 502, text: failure.TextUpstreamInvalid, reason: "origin_disk", retryable: true}.check(t, err)
		write(t, root, map[string]string{"a.png": "new"})
	}
}

func TestDirectoryConditional(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a.png": "image"})
	modified := time.Date(2026, 11, 21, 19, 35, 44, 523_665_133, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "a.png"), modified, modified); err != nil {
		t.Fatal(err)
	}
	c := newDirectoryClient(t, root, "")
	const etag, date = `W/"5-1a1ff9b848c"`, "Sat, 21 Nov 2026 19:35:44 GMT"
	for r, notModified := range map[Request]bool{
		{}:                          false,
		{ETag: etag}:                true,
		{ETag: etag[2:]}:            true,
		{ETag: `W/"5-1a1ff9b848d"`}: false,
		{LastModified: date}:        true,
		{LastModified: "Sat, 21 Nov 2026 19:35:45 GMT"}: true,
		{LastModified: "Sat, 21 Nov 2026 19:35:43 GMT"}: false,
		{LastModified: "yesterday"}:                     false,
		{ETag: `"x"`, LastModified: date}:               false,
	} {
		r.Href = "/a.png"
		src, err := c.Fetch(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if src.NotModified != notModified || notModified != (src.Body == nil) || src.ETag != etag || src.LastModified != date || src.CacheControl != "public, max-age=0" {
			t.Errorf("%+v: %+v", r, src)
		}
	}
}

func TestFileValidators(t *testing.T) {
	for _, row := range golden[[4]any](t, "validators.json") {
		seconds, nanoseconds, _ := strings.Cut(row[1].(string), ".")
		s, err1 := strconv.ParseInt(seconds, 10, 64)
		n, err2 := strconv.ParseInt((nanoseconds + "000000000")[:9], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		info := fileInfo{size: int64(row[0].(float64)), modified: time.Unix(s, n)}
		if etag, modified := fileValidators(info); etag != row[2] || modified != row[3] {
			t.Errorf("%v: %s, %s", row, etag, modified)
		}
	}
}

// fileInfo is a description without a file.
type fileInfo struct {
	fs.FileInfo
	size     int64
	modified time.Time
}

func (f fileInfo) Size() int64        { return f.size }
func (f fileInfo) ModTime() time.Time { return f.modified }

// A file that is written to while it is read is not used.
func TestFileChangesWhileRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.png": "before"})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := &directory{root: dir, maxBody: testBody}
	for name, change := range map[string]func() error{
		"longer":  func() error { return os.WriteFile(filepath.Join(dir, "a.png"), []byte("after it all"), 0o600) },
		"shorter": func() error { return os.Truncate(filepath.Join(dir, "a.png"), 3) },
		"longer, at the same time": func() error {
			info, err := os.Stat(filepath.Join(dir, "a.png"))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "a.png"), []byte("after it all, and more"), 0o600)
			}
			return errors.Join(err, os.Chtimes(filepath.Join(dir, "a.png"), info.ModTime(), info.ModTime()))
		},
		"touched": func() error {
			return os.Chtimes(filepath.Join(dir, "a.png"), time.Time{}, time.Now().Add(time.Hour))
		},
	} {
		write(t, dir, map[string]string{"a.png": "before"})
		file, info, err := openRegular(root, "a.png")
		if err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		_, err = d.read(t.Context(), file, info, &account{})
		if f := (want{status: 502, text: failure.TextUpstreamInvalid, reason: "origin_disk", retryable: true}).check(t, err); t.Failed() {
			t.Errorf("%s: %v", name, f)
		}
		file.Close()
	}
	file, info, err := openRegular(root, "a.png")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.read(ctx, file, info, &account{})
	checkCanceled(t, err)
	file.Close()
	if _, err = d.read(t.Context(), file, info, &account{}); err == nil {
		t.Error("read a closed file")
	}
}

func TestIsFault(t *testing.T) {
	for err, fault := range map[error]bool{
		nil: false, fs.ErrNotExist: false, errNotRegular: false, &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}: false, syscall.EACCES: false,
		syscall.EMFILE: true, &fs.PathError{Op: "open", Path: "x", Err: syscall.EIO}: true,
	} {
		if isFault(err) != fault {
			t.Errorf("%v: %v", err, !fault)
		}
	}
}

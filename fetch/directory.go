package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"imgopt/failure"
)

// directory is an origin on disk. It answers as next start does for its static files, which it sends with the "send"
// package (next/dist/compiled/send): with the same entity tag, since the one of a passed-through image is made of it,
// and the same Cache-Control. Headers from next.config.js are unknown here.
//
// Everything is opened through os.Root, so that neither the path nor a symbolic link leads out. The root is opened for
// each file: a deployment that swaps the directory is seen at once. Of a Next.js project that holds also where one of the
// folders that make it up (.next, .next/static, public) is itself a symbolic link: whoever lays out the project has put it
// there, to swap a build or to share a folder. It is followed out of the project, and what is then in that folder has its
// own bounds: a link within it leads nowhere else.
type directory struct {
	root     string
	basePath string
	maxBody  int64
	// mayBeMissing says that there may be no such directory, which then lacks everything.
	mayBeMissing bool
}

func (c *Client) newDirectory(root, basePath string) (*directory, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("origin file://%s: want a directory: %w", root, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("origin file://%s: not a directory", root)
	}
	return &directory{root: root, basePath: basePath, maxBody: c.maxBody}, nil
}

const (
	// staticPrefix is where the files of a Next.js build are; their names change with their content.
	staticPrefix      = "/_next/static/"
	staticCacheHeader = "public, max-age=31536000, immutable"
	publicCacheHeader = "public, max-age=0"
)

func (d *directory) get(ctx context.Context, q relative) (src *Source, lacks bool, err error) {
	name, fail := d.fileName(q)
	if fail != nil {
		return nil, true, fail
	}
	file, info, isStatic, err := d.open(name)
	var noRoot *rootError
	if errors.As(err, &noRoot) && !(d.mayBeMissing && errors.Is(err, fs.ErrNotExist)) {
		return nil, false, diskFailure(err)
	}
	if isFault(err) {
		return nil, false, diskFailure(err)
	}
	if err != nil {
		return nil, true, relativeFailure(http.StatusNotFound, "missing", err)
	}
	defer file.Close()
	if path.Base(name)[0] == '.' {
		return nil, true, relativeFailure(http.StatusBadRequest, "hidden", fmt.Errorf("%q is hidden", name))
	}
	src = &Source{
		ContentType:  contentTypes[strings.ToLower(path.Ext(name))],
		CacheControl: publicCacheHeader,
	}
	if isStatic {
		src.CacheControl = staticCacheHeader
	}
	src.ETag, src.LastModified = fileValidators(info)
	if unchanged(q.Request, src) {
		src.NotModified = true
		return src, false, nil
	}
	src.Body, err = d.read(ctx, file, info, &account{memory: q.Memory, caller: ctx})
	if err != nil {
		return nil, false, err
	}
	return src, false, nil
}

// fileName returns the decoded path of q below the base path, without a leading slash. Next.js redirects repeated
// slashes and a slash at the end, and a redirect is an error.
func (d *directory) fileName(q relative) (string, *failure.Error) {
	p, ok := strings.CutPrefix(q.path, d.basePath)
	if !ok || !strings.HasPrefix(p, "/") {
		return "", relativeFailure(http.StatusNotFound, "missing", fmt.Errorf("%q is not below the base path", q.path))
	}
	if strings.Contains(p, "//") || len(p) > 1 && strings.HasSuffix(p, "/") {
		return "", relativeFailure(http.StatusInternalServerError, "path", fmt.Errorf("%q has a slash too many", q.path))
	}
	name, ok := decodeURIComponent(p[1:])
	// An encoded slash is a slash, as for Next.js. fs.ValidPath refuses empty, "." and ".." segments.
	if !ok || strings.ContainsAny(name, "\x00\\") || name == "." || !fs.ValidPath(name) {
		return "", relativeFailure(http.StatusNotFound, "missing", fmt.Errorf("%q names no file", q.path))
	}
	return name, nil
}

// rootError is what keeps the directory itself from being opened.
type rootError struct{ error }

func (e *rootError) Unwrap() error { return e.error }

// open opens a file by its name on the web: in a Next.js project the build's static files and the public folder make up
// what is served, any other directory is served as it is.
func (d *directory) open(name string) (file *os.File, info fs.FileInfo, isStatic bool, err error) {
	root, err := os.OpenRoot(d.root)
	if err != nil {
		return nil, nil, false, &rootError{err}
	}
	defer func() { root.Close() }()
	rest, isStatic := strings.CutPrefix("/"+name, staticPrefix)
	if build, err := os.Stat(filepath.Join(d.root, ".next")); err == nil && build.IsDir() {
		folders := []string{"public"}
		if isStatic {
			folders, name = []string{".next", "static"}, rest
		}
		at, inside := d.root, "" // from the file system's root, and from the one that is open
		for _, folder := range folders {
			at, inside = filepath.Join(at, folder), inside+folder+"/"
			// What leads out of what is open is an error here.
			if _, err := root.Stat(strings.TrimSuffix(inside, "/")); err == nil {
				continue
			}
			if entry, err := os.Lstat(at); err != nil || entry.Mode()&fs.ModeSymlink == 0 {
				continue
			}
			elsewhere, err := os.OpenRoot(at)
			if err != nil {
				return nil, nil, isStatic, err
			}
			root.Close()
			root, inside = elsewhere, ""
		}
		name = inside + name
	}
	file, info, err = openRegular(root, name)
	return file, info, isStatic, err
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens name if it is a regular file. It looks before it opens, because opening a device may already do
// something, and again afterwards, because the name may have changed hands; O_NONBLOCK keeps a FIFO that takes its
// place in between from blocking.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%q: %w", name, errNotRegular)
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q: %w", name, errNotRegular)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// read returns the content of file, which info describes.
func (d *directory) read(ctx context.Context, file *os.File, info fs.FileInfo, held *account) ([]byte, error) {
	if info.Size() > d.maxBody {
		return nil, relativeFailure(http.StatusRequestEntityTooLarge, "too_large", errTooLarge)
	}
	body, err := readAll(contextReader{ctx, file}, info.Size(), d.maxBody, held)
	var memory *memoryError
	switch {
	case errors.As(err, &memory):
		return nil, memoryFailure(err)
	case ctx.Err() != nil:
		return nil, interrupted(ctx.Err(), context.Cause(ctx))
	case errors.Is(err, errTooLarge):
		return nil, relativeFailure(http.StatusRequestEntityTooLarge, "too_large", errTooLarge)
	case err != nil:
		return nil, diskFailure(err)
	case len(body) == 0:
		return nil, relativeFailure(http.StatusBadRequest, "empty", nil)
	}
	// Half of the old and half of the new content must not be cached under the tag of either, nor the new content
	// under the tag of the old.
	after, err := file.Stat()
	if err != nil {
		return nil, diskFailure(err)
	}
	if int64(len(body)) != info.Size() || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		return nil, diskFailure(errors.New("file changed while it was read"))
	}
	return body, nil
}

// isFault tells errors that say nothing about whether there is such a file from those that do.
func isFault(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ENOMEM, syscall.ESTALE, syscall.EINTR:
		return true
	}
	return false
}

// diskFailure is for a disk that does not do its duty, or not at this moment.
func diskFailure(cause error) *failure.Error {
	f := failure.Wrap(http.StatusBadGateway, relativeWording.prefix+"_disk", relativeWording.thrown, cause)
	f.Retryable = true
	return f
}

// contextReader stops reading when its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// fileValidators returns the ETag and Last-Modified that "send" makes of a file: size and modification time in
// hexadecimal, the time in milliseconds and rounded as Node's fs.Stats does.
func fileValidators(info fs.FileInfo) (etag, lastModified string) {
	t := info.ModTime()
	exact := float64(t.Unix())*1000 + float64(t.Nanosecond())/1e6
	ms := int64(math.Floor(exact + 0.5))
	return fmt.Sprintf(`W/"%s-%s"`, strconv.FormatInt(info.Size(), 16), strconv.FormatInt(ms, 16)),
		time.UnixMilli(ms).UTC().Format(http.TimeFormat)
}

// unchanged evaluates the validators of r against current (RFC 9110, section 13.2.2): entity tags weakly, the time
// only if there is no tag.
func unchanged(r Request, current *Source) bool {
	if r.ETag != "" {
		return strings.TrimPrefix(r.ETag, "W/") == strings.TrimPrefix(current.ETag, "W/")
	}
	since, err := http.ParseTime(r.LastModified)
	if err != nil {
		return false
	}
	modified, err := http.ParseTime(current.LastModified)
	return err == nil && !modified.After(since)
}

// contentTypes are the types of image files by their extension. Nothing is decided by them.
var contentTypes = map[string]string{
	".avif": "image/avif", ".bmp": "image/bmp", ".gif": "image/gif", ".heic": "image/heic", ".icns": "image/x-icns",
	".ico": "image/x-icon", ".jp2": "image/jp2", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".jxl": "image/jxl",
	".png": "image/png", ".svg": "image/svg+xml", ".tif": "image/tiff", ".tiff": "image/tiff", ".webp": "image/webp",
}

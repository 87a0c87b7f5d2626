package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/transform"
	"imgopt/validate"
)

// demoLimit is how many images the demo page lists.
const demoLimit = 500

// newDemo makes the demo page of the images in the first origin that is a folder; nil where there is none.
func newDemo(c *config.Config, i images, rules *validate.Rules) *handler.Demo {
	folder := ""
	for _, origin := range c.Origin {
		if u, err := url.Parse(origin); err == nil && u.Scheme == "file" {
			folder = u.Path
			break
		}
	}
	if folder == "" {
		return nil
	}
	return &handler.Demo{
		Images:  i,
		Rules:   rules,
		Sources: func(context.Context) ([]handler.DemoSource, error) { return demoSources(folder) },
		Original: func(_ context.Context, href string) (io.ReadCloser, int64, string, error) {
			return demoOriginal(folder, href)
		},
		Animated: func(b []byte) bool {
			animated, err := transform.Animated(b)
			return err == nil && animated
		},
		Version:   version,
		PublicURL: publicURL(c),
		Widths:    slices.Sorted(slices.Values(slices.Concat(c.Images.DeviceSizes, c.Images.ImageSizes))),
		Qualities: c.Images.Qualities,
		Formats:   c.Images.Formats,
		Timeout:   c.Timeout,
	}
}

// demoRoot is where images lie below a folder origin: public/ of a Next.js project, else the folder itself.
func demoRoot(folder string) (*os.Root, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("opening the demo's folder: %w", err)
	}
	if _, err := root.Stat(".next"); err == nil {
		public, err := root.OpenRoot("public")
		_ = root.Close()
		if err != nil {
			return nil, fmt.Errorf("opening the demo's public folder: %w", err)
		}
		return public, nil
	}
	return root, nil
}

// notImages are files that stand beside images and are none.
var notImages = []string{".json", ".md", ".go", ".txt", ".mjs", ".js", ".sh"}

func demoSources(folder string) ([]handler.DemoSource, error) {
	root, err := demoRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var out []handler.DemoSource
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case len(out) >= demoLimit:
			return fs.SkipAll
		case !d.Type().IsRegular() || strings.HasPrefix(path.Base(name), ".") || !strings.Contains(path.Base(name), "."),
			slices.Contains(notImages, strings.ToLower(path.Ext(name))):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		href := (&url.URL{Path: "/" + name}).EscapedPath()
		out = append(out, handler.DemoSource{Name: name, Href: href, Size: info.Size()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the demo's folder: %w", err)
	}
	return out, nil
}

// demoHead is how much of a source is read to tell its type.
const demoHead = 4 << 10

// demoOriginal opens a source. The file outlives the folder it was opened in.
func demoOriginal(folder, href string) (body io.ReadCloser, size int64, contentType string, err error) {
	name, err := url.PathUnescape(strings.TrimPrefix(href, "/"))
	if err != nil {
		return nil, 0, "", fmt.Errorf("demo source %q: %w", href, err)
	}
	root, err := demoRoot(folder)
	if err != nil {
		return nil, 0, "", err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, "", fmt.Errorf("opening a demo source: %w", err)
	}
	head := make([]byte, demoHead)
	n, err := io.ReadFull(f, head)
	info, statErr := f.Stat()
	if _, seekErr := f.Seek(0, io.SeekStart); statErr != nil || seekErr != nil || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		_ = f.Close()
		return nil, 0, "", fmt.Errorf("reading a demo source: %w", errors.Join(err, statErr, seekErr))
	}
	media, err := transform.Detect(head[:n])
	if err != nil {
		media = "" // shown as what it is: bytes
	}
	return f, info.Size(), media, nil
}

package prewarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"imgopt/prewarm/page"
)

const (
	// buildHost stands for the application where its address is not known.
	buildHost = "build.invalid"
	// maxPage bounds one document in bytes; what comes after it is not read.
	maxPage = 16 << 20
	// maxManifest bounds a manifest of a build.
	maxManifest = 64 << 20
)

// nextBuild is a Next.js build on disk: what `next build` (16.4.6) writes and `next start` serves.
type nextBuild struct {
	dist       string   // the .next or other distDir
	project    string   // the directory that holds public
	deployment string   // its deploymentId, "" if it has none
	icons      []string // files of app/ that Next.js serves by a route of their own (favicon, opengraph-image, …)
}

// build reads the parts of a build that o asks for.
func (f *Found) build(ctx context.Context, o Options) error {
	b, err := openBuild(o.NextDir)
	if err != nil {
		return OptionErrors{{Flag: "next-dir", Value: quote(o.NextDir), Problem: err.Error()}}
	}
	f.deployment = b.deployment
	if slices.Contains(o.Parts, PartPages) {
		if err := f.buildPages(ctx, b); err != nil {
			return err
		}
	}
	// Sizes are useful for what the pages ask for, too.
	if err := f.buildImages(ctx, b, slices.Contains(o.Parts, PartMedia), slices.Contains(o.Parts, PartPublic)); err != nil {
		return err
	}
	return ctx.Err()
}

// openBuild finds the build in dir or in its .next, as the configuration's nextDir does.
func openBuild(dir string) (*nextBuild, error) {
	for _, dist := range []string{dir, filepath.Join(dir, ".next")} {
		for _, name := range []string{"required-server-files.json", "images-manifest.json"} {
			if _, err := os.Stat(filepath.Join(dist, name)); err == nil {
				return readBuild(dist)
			}
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("cannot be read: %s", reasonOf(err))
	}
	return nil, errors.New("holds no Next.js build; run next build, or give the distDir")
}

func readBuild(dist string) (*nextBuild, error) {
	abs, err := filepath.Abs(dist)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %s", reasonOf(err))
	}
	b := &nextBuild{dist: abs, project: filepath.Dir(abs)}
	var files struct {
		Config struct {
			DistDir      string `json:"distDir"`
			DeploymentID string `json:"deploymentId"`
		} `json:"config"`
	}
	if err := b.manifest("required-server-files.json", &files); err != nil {
		return nil, err
	}
	b.deployment = files.Config.DeploymentID
	// A distDir may be nested ("build/next"); the project is where it begins.
	if project, ok := strings.CutSuffix(filepath.ToSlash(abs), "/"+path.Clean("/" + files.Config.DistDir)[1:]); ok && files.Config.DistDir != "" {
		b.project = filepath.FromSlash(project)
	}
	var routes map[string]string
	if err := b.manifest(filepath.Join("server", "app-paths-manifest.json"), &routes); err != nil {
		return nil, err
	}
	for route := range routes {
		if file, ok := strings.CutSuffix(route, "/route"); ok && isMetadata(path.Base(file)) {
			b.icons = append(b.icons, path.Base(file))
		}
	}
	return b, nil
}

// manifest decodes a JSON file of the build. Not every build has every one.
func (b *nextBuild) manifest(name string, into any) error {
	file, err := os.Open(filepath.Join(b.dist, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read: %s", name, reasonOf(err))
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, maxManifest)).Decode(into); err != nil {
		return fmt.Errorf("%s is not a manifest of Next.js: %v", name, err)
	}
	return nil
}

// metadata are the names of the files in app/ that become routes (next/dist/lib/metadata/is-metadata-route.js).
var metadata = []string{"favicon", "icon", "apple-icon", "opengraph-image", "twitter-image"}

// isMetadata reports whether a route's last segment is that of such a file: icon.png, icon1.png, icon-1a2b3c.png.
func isMetadata(name string) bool {
	stem, _, ok := strings.Cut(name, ".")
	return ok && slices.ContainsFunc(metadata, func(m string) bool {
		rest, ok := strings.CutPrefix(stem, m)
		rest = strings.TrimLeft(rest, "0123456789")
		return ok && (rest == "" || rest[0] == '-')
	})
}

// isIcon reports whether static media NAME.HASH.EXT is the copy of such a file: browsers and crawlers ask for its
// route, and nothing asks the optimizer for it.
func (b *nextBuild) isIcon(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	return isMetadata(name) && slices.ContainsFunc(b.icons, func(icon string) bool {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(icon, path.Ext(icon)), stem)
		return ok && (rest == "" || rest[0] == '-') && path.Ext(icon) == path.Ext(name)
	})
}

// buildPages reads the prerendered documents of both routers. What they hand to React is in them as well: a build's
// .rsc files ask for nothing that its documents do not.
func (f *Found) buildPages(ctx context.Context, b *nextBuild) error {
	pages := 0
	for _, router := range []string{"server/app", "server/pages"} {
		err := walk(ctx, filepath.Join(b.dist, router), func(name string, _ fs.FileInfo) error {
			if path.Ext(name) != ".html" {
				return nil
			}
			pages++
			f.buildPage(filepath.Join(b.dist, router, filepath.FromSlash(name)), strings.TrimSuffix(name, ".html"), router+"/"+name)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if pages == 0 {
		f.note("the build holds no prerendered page; --crawl or --sitemap reads the pages of a running application")
	}
	return nil
}

func (f *Found) buildPage(file, route, from string) {
	in, err := os.Open(file)
	if err != nil {
		f.unread(from, &Failure{Reason: ReasonPage, Detail: reasonOf(err)})
		return
	}
	defer in.Close()
	address := (&url.URL{Scheme: "http", Host: buildHost, Path: f.site.options.BasePath + "/" + route}).String()
	p, err := page.Parse(io.LimitReader(in, maxPage), page.Options{URL: address, Contains: endpoint})
	if err != nil {
		f.unread(from, &Failure{Reason: ReasonPage, Detail: oneLine(err.Error())})
		return
	}
	f.pageOf(p, address, from)
}

// buildImages lists static media and the public folder: their sizes, and as sources that are expanded if nothing asks
// for them in particular.
func (f *Found) buildImages(ctx context.Context, b *nextBuild, media, public bool) error {
	for _, dir := range []string{"static/media", "static/immutable/media"} {
		err := walk(ctx, filepath.Join(b.dist, dir), func(name string, info fs.FileInfo) error {
			if !b.isIcon(path.Base(name)) {
				f.buildImage(f.site.options.AssetPrefix+"/_next/"+dir+"/"+escapePath(name), dir+"/"+name, info.Size(), media)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return walk(ctx, filepath.Join(b.project, "public"), func(name string, info fs.FileInfo) error {
		f.buildImage(f.site.options.BasePath+"/"+escapePath(name), "public/"+name, info.Size(), public)
		return nil
	})
}

func (f *Found) buildImage(url, from string, size int64, expand bool) {
	if !f.site.optimizes(url) || size == 0 {
		return
	}
	f.sizes[url] = size
	if expand {
		f.source(source{url: url, from: from, fallback: true})
	}
}

// optimizes reports whether next/image asks the optimizer for a file of this name. These are the types that can be
// imported (next/dist/build/webpack-config.js, nextImageLoaderRegex) without icons, which only a browser itself asks
// for, and with the others that the optimizer decodes.
func (s *Site) optimizes(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff":
		return true
	case ".svg":
		return s.options.AllowSVG
	}
	return false
}

// escapePath writes a file's path as the src that means it: only what would end the path, or be read as an escape, is
// escaped, because that is how people write src="/größe 1.jpg".
func escapePath(name string) string {
	return strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23", `\`, "%5C", "\t", "%09", "\n", "%0A", "\r", "%0D").Replace(name)
}

// walk calls each for every regular file below dir, with its path in slashes, in lexical order. A link to a file
// counts as the file, a dir that does not exist as empty. The error is that of ctx, or an OptionErrors.
func walk(ctx context.Context, dir string, each func(name string, info fs.FileInfo) error) error {
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) && file == dir {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil // a dangling link, a socket
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return each(filepath.ToSlash(name), info)
	})
	if err != nil && ctx.Err() == nil {
		return OptionErrors{{Flag: "next-dir", Value: quote(dir), Problem: "cannot be read: " + reasonOf(err)}}
	}
	return err
}

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The files of a build that are read, their versions, and where they come from: next/dist/build/index.js, 16.4.6.
const (
	serverFilesManifest = "required-server-files.json"
	imagesManifest      = "images-manifest.json"
	routesManifest      = "routes-manifest.json"

	serverFilesVersion = 1
	imagesVersion      = 1
	routesVersion      = 3
)

// nextReader reads one build into a layer.
type nextReader struct {
	out   layer
	build NextBuild
	errs  Errors
}

// nextBuild finds the build in dir, reads it into its layer and returns what else it says.
func (l *loader) nextBuild(dir string, given Origin) NextBuild {
	r := &nextReader{out: layer{}}
	l.layers[FromNextBuild] = r.out
	r.find(dir, given)
	l.errs = append(l.errs, r.errs...)
	return r.build
}

// find looks for the manifests in dir and dir/.next and reads the best one: required-server-files.json has the patterns
// as they were written, images-manifest.json only as regular expressions.
func (r *nextReader) find(dir string, given Origin) {
	for _, dist := range distDirs(dir) {
		for _, m := range []struct {
			name string
			read func(path string, data []byte)
		}{{serverFilesManifest, r.serverFiles}, {imagesManifest, r.imagesOnly}} {
			path := filepath.Join(dist, m.name)
			data, err := readFile(path, maxManifest)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			r.build = NextBuild{Dir: dist, Manifest: path, Version: nextVersion(dist)}
			if err != nil {
				r.fail(path, "", "", "cannot be read: %s", reason(err))
				return
			}
			m.read(path, data)
			return
		}
	}
	problem := fmt.Sprintf("holds no Next.js build: neither %s nor %s is in it or in its .next; run next build, or give the distDir", serverFilesManifest, imagesManifest)
	if _, err := os.Stat(dir); err != nil {
		problem = "cannot be read: " + reason(err)
	}
	r.errs = append(r.errs, &Error{Origin: given, Key: "nextDir", Value: quote(dir), Problem: problem})
}

func (r *nextReader) fail(path, key, value, format string, args ...any) {
	r.errs = append(r.errs, &Error{Origin: Origin{Kind: FromNextBuild, Name: path}, Key: key, Value: value, Problem: fmt.Sprintf(format, args...)})
}

// manifest decodes a file, and complains unless its version is one this program knows.
func (r *nextReader) manifest(path string, data []byte, version int, into any) bool {
	var head struct {
		Version *int `json:"version"`
	}
	if err := unmarshal(data, &head); err != nil {
		r.fail(path, "", "", "not a manifest of Next.js: %v", err)
		return false
	}
	if head.Version == nil || *head.Version != version {
		found := "none"
		if head.Version != nil {
			found = fmt.Sprint(*head.Version)
		}
		r.fail(path, "version", found, "must be %d; this imgopt knows the builds of Next.js up to 16", version)
		return false
	}
	if err := unmarshal(data, into); err != nil {
		r.fail(path, "", "", "not a manifest of Next.js: %v", err)
		return false
	}
	return true
}

// unmarshal is json.Unmarshal that keeps numbers as they are written.
func unmarshal(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows after the first value")
	}
	return nil
}

func (r *nextReader) serverFiles(path string, data []byte) {
	var m struct {
		Config struct {
			BasePath      any            `json:"basePath"`
			AssetPrefix   string         `json:"assetPrefix"`
			DeploymentID  string         `json:"deploymentId"`
			TrailingSlash any            `json:"trailingSlash"`
			SkipRedirect  any            `json:"skipTrailingSlashRedirect"`
			Compress      any            `json:"compress"`
			Images        map[string]any `json:"images"`
			Experimental  map[string]any `json:"experimental"`
		} `json:"config"`
	}
	if !r.manifest(path, data, serverFilesVersion, &m) {
		return
	}
	r.build.AssetPrefix = m.Config.AssetPrefix
	// With experimental.runtimeServerDeploymentId a build has none: the application gets it from its environment.
	r.build.DeploymentID = m.Config.DeploymentID
	r.set(path, "trailingSlash", m.Config.TrailingSlash)
	r.set(path, "skipTrailingSlashRedirect", m.Config.SkipRedirect)
	r.set(path, "compress", m.Config.Compress)
	r.images(path, m.Config.Images)
	r.set(path, "basePath", m.Config.BasePath)
	r.set(path, "transform.maxInputPixels", m.Config.Experimental["imgOptMaxInputPixels"])
	// imgOptSequentialRead has no effect in Next.js either: sharp 0.35.5 always reads sequentially (common.cc looks at
	// the option only where another one is set, which never is).
	r.set(path, "transform.mozjpeg", m.Config.Experimental["imgOptMozjpeg"])
	timeout := m.Config.Experimental["imgOptTimeoutInSeconds"]
	if seconds, ok := timeout.(json.Number); ok {
		timeout = seconds.String() + "s"
	}
	r.set(path, "transform.timeout", timeout)
}

// imagesOnly reads images-manifest.json, and the basePath from the manifest of the routes.
func (r *nextReader) imagesOnly(path string, data []byte) {
	var m struct {
		Images map[string]any `json:"images"`
	}
	if !r.manifest(path, data, imagesVersion, &m) {
		return
	}
	// Only the path of the endpoint tells whether trailingSlash is on; other loaders always have the slash.
	if p, _ := m.Images["path"].(string); m.Images["loader"] == "default" {
		r.set(path, "trailingSlash", strings.HasSuffix(p, "/"))
	}
	for _, list := range []string{"remotePatterns", "localPatterns"} {
		patterns, _ := m.Images[list].([]any)
		for _, p := range patterns {
			if pattern, ok := p.(map[string]any); ok {
				rename(pattern, "hostname", "hostnameRegexp")
				rename(pattern, "pathname", "pathnameRegexp")
			}
		}
	}
	r.images(path, m.Images)

	routesPath := filepath.Join(filepath.Dir(path), routesManifest)
	var routes struct {
		BasePath     any    `json:"basePath"`
		DeploymentID string `json:"deploymentId"`
	}
	data, err := readFile(routesPath, maxManifest)
	if err != nil {
		r.fail(routesPath, "basePath", "", "cannot be read: %s", reason(err))
		return
	}
	if r.manifest(routesPath, data, routesVersion, &routes) {
		r.set(routesPath, "basePath", routes.BasePath)
		r.build.DeploymentID = routes.DeploymentID
	}
}

func rename(m map[string]any, from, to string) {
	if v, ok := m[from]; ok {
		m[to] = v
		delete(m, from)
	}
}

// images sets the keys of `images`. What a build does not say keeps the default, but for two lists whose absence, before
// Next.js 16, means that everything is allowed.
func (r *nextReader) images(path string, images map[string]any) {
	if images == nil {
		r.fail(path, "images", "", "missing; must be an object")
		return
	}
	for _, name := range keys().sections["images"] {
		r.set(path, "images."+name, images[name])
	}
	for _, key := range []string{"images.qualities", "images.localPatterns"} {
		if _, ok := r.out[key]; !ok && images[last(key)] == nil {
			r.out[key] = setting{origin: Origin{Kind: FromNextBuild, Name: path}}
		}
	}
}

// set decodes one value of a manifest; null and undefined leave the key alone.
func (r *nextReader) set(path, key string, v any) {
	if v == nil {
		return
	}
	d := &decoder{origin: Origin{Kind: FromNextBuild, Name: path}}
	if value, ok := d.key(keys().byPath[key], jsonNode(v)); ok {
		r.out[key] = setting{value: value, origin: d.origin}
	}
	r.errs = append(r.errs, d.errs...)
}

// jsonNode makes the node a file would have for a decoded JSON value.
func jsonNode(v any) *yaml.Node {
	switch v := v.(type) {
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, jsonNode(item))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, jsonNode(name), jsonNode(v[name]))
		}
		return n
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v)}
	}
}

// nextVersion finds the version of Next.js that made a build: in the build's diagnostics, or in the package beside it,
// which a standalone build has. It is only for people; a build that does not tell is as good.
func nextVersion(dist string) string {
	type named struct {
		Version string `json:"version"`
	}
	candidates := []string{filepath.Join(dist, "diagnostics", "framework.json")}
	if abs, err := filepath.Abs(dist); err == nil {
		for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
			candidates = append(candidates, filepath.Join(dir, "node_modules", "next", "package.json"))
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	for _, path := range candidates {
		data, err := readFile(path, maxManifest)
		var n named
		if err == nil && json.Unmarshal(data, &n) == nil && n.Version != "" {
			return n.Version
		}
	}
	return ""
}

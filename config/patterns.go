package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/nlnwa/whatwg-url/url"
	"go.yaml.in/yaml/v3"
)

// How many patterns a list may hold, before Next.js adds its own (next/dist/server/config-schema.js).
const (
	maxRemotePatterns = 50
	maxLocalPatterns  = 25
)

// staticMedia is where a build puts statically imported images. Next.js allows these paths beside a list of local
// patterns (next/dist/server/config.js), without the basePath.
var staticMedia = []string{"/_next/static/media/**", "/_next/static/immutable/media/**"}

// fields decodes the named fields of a pattern into pointers, nil where a field is absent.
func (d *decoder) fields(path string, n *yaml.Node, into map[string]**string, order []string) bool {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "must be a pattern {%s}", strings.Join(order, ", "))
		return false
	}
	ok := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		target, known := into[name.Value]
		at := path + "." + name.Value
		switch {
		case !known:
			d.report(name, at, "", "unknown key; must be %s", oneOf(order))
		case *target != nil:
			d.report(name, at, "", "given twice")
		default:
			if s, valid := d.string(at, value); valid {
				*target = &s
				continue
			}
		}
		ok = false
	}
	return ok
}

func (d *decoder) remotePattern(path string, n *yaml.Node) (p RemotePattern) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return d.remoteURL(path, n)
	}
	var hostname, hostnameRegexp, pathnameRegexp *string
	if !d.fields(path, n, map[string]**string{
		"protocol": &p.Protocol, "hostname": &hostname, "port": &p.Port, "pathname": &p.Pathname, "search": &p.Search,
		"hostnameRegexp": &hostnameRegexp, "pathnameRegexp": &pathnameRegexp,
	}, []string{"protocol", "hostname", "port", "pathname", "search"}) {
		return p
	}
	p.Hostname, p.HostnameRegexp, p.PathnameRegexp = deref(hostname), deref(hostnameRegexp), deref(pathnameRegexp)
	switch {
	case p.Hostname == "" && p.HostnameRegexp == "":
		d.report(n, path, "", "must have a hostname")
	case p.Hostname != "" && p.HostnameRegexp != "":
		d.report(n, path, "", "has both hostname and hostnameRegexp; only one is allowed")
	case p.Pathname != nil && p.PathnameRegexp != "":
		d.report(n, path, "", "has both pathname and pathnameRegexp; only one is allowed")
	}
	if p.Protocol != nil && *p.Protocol != "http" && *p.Protocol != "https" {
		d.report(n, path+".protocol", quote(*p.Protocol), "must be http or https")
	}
	if p.Port != nil && len(*p.Port) > 5 {
		d.report(n, path+".port", quote(*p.Port), `must be at most 5 characters, or "" for the protocol's default port`)
	}
	return p
}

// remoteURL reads a pattern given as a url, as next.config.js does with new URL(…): every part then has to match.
func (d *decoder) remoteURL(path string, n *yaml.Node) (p RemotePattern) {
	u, err := url.Parse(n.Value)
	if err != nil || (u.Protocol() != "http:" && u.Protocol() != "https:") {
		d.fail(n, path, "must be a pattern or an http or https url")
		return p
	}
	protocol, port, pathname, search := strings.TrimSuffix(u.Protocol(), ":"), u.Port(), u.Pathname(), u.Search()
	return RemotePattern{Protocol: &protocol, Hostname: u.Hostname(), Port: &port, Pathname: &pathname, Search: &search}
}

func (d *decoder) localPattern(path string, n *yaml.Node) (p LocalPattern) {
	var pathnameRegexp *string
	if !d.fields(path, n, map[string]**string{
		"pathname": &p.Pathname, "search": &p.Search, "pathnameRegexp": &pathnameRegexp,
	}, []string{"pathname", "search"}) {
		return p
	}
	p.PathnameRegexp = deref(pathnameRegexp)
	if p.Pathname != nil && p.PathnameRegexp != "" {
		d.report(n, path, "", "has both pathname and pathnameRegexp; only one is allowed")
	}
	return p
}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// completePatterns does with lists that were given explicitly what Next.js does with those in next.config.js: static
// media is allowed beside local patterns, and the host of an absolute assetPrefix beside remote ones. A list that says
// again what the build or the default says is complete: such a list is in the output of Print.
func (l *loader) completePatterns(c *Config) {
	if o := l.origin("images.localPatterns"); o.Kind > FromNextBuild && !l.repeated("images.localPatterns") {
		list := slices.Clone(c.Images.LocalPatterns)
		given := len(list)
		for _, pathname := range staticMedia {
			search := ""
			p := LocalPattern{Pathname: &pathname, Search: &search}
			if slices.ContainsFunc(list, func(q LocalPattern) bool { return reflect.DeepEqual(p, q) }) {
				given--
				continue
			}
			list = append(list, p)
		}
		l.limit(o, "images.localPatterns", given, maxLocalPatterns)
		c.Images.LocalPatterns = list
	}
	if o := l.origin("images.remotePatterns"); o.Kind > FromNextBuild && !l.repeated("images.remotePatterns") {
		list := slices.Clone(c.Images.RemotePatterns)
		given := len(list)
		if host, ok := assetHost(c.Next.AssetPrefix); ok {
			if slices.ContainsFunc(list, func(p RemotePattern) bool { return reflect.DeepEqual(p, host) }) {
				given--
			} else if !slices.ContainsFunc(list, func(p RemotePattern) bool { return covers(p, host) }) {
				list = append(list, host)
			}
		}
		l.limit(o, "images.remotePatterns", given, maxRemotePatterns)
		c.Images.RemotePatterns = list
	}
}

// repeated reports whether a key was given the value it had without being given.
func (l *loader) repeated(path string) bool {
	given, _ := l.winner(path, FromFlag)
	before, _ := l.winner(path, FromNextBuild)
	return before.value.IsValid() && reflect.DeepEqual(given.value.Interface(), before.value.Interface())
}

func (l *loader) limit(o Origin, path string, n, limit int) {
	if n > limit {
		l.errs = append(l.errs, &Error{Origin: o, Key: path, Value: fmt.Sprintf("%d elements", n), Problem: fmt.Sprintf("must be a list of at most %d patterns", limit)})
	}
}

// assetHost is the pattern Next.js makes of an assetPrefix.
func assetHost(assetPrefix string) (p RemotePattern, ok bool) {
	if !strings.HasPrefix(assetPrefix, "http") {
		return p, false
	}
	u, err := url.Parse(assetPrefix)
	if err != nil {
		return p, false
	}
	protocol, port := strings.TrimSuffix(u.Protocol(), ":"), u.Port()
	return RemotePattern{Protocol: &protocol, Hostname: u.Hostname(), Port: &port}, true
}

// covers reports whether p plainly allows everything that host does. Next.js asks whether p matches the assetPrefix
// itself, so that a glob over part of the host keeps the whole host from being added; matching globs is not for this
// package, and the application's own asset host is added then.
func covers(p, host RemotePattern) bool {
	same := func(a, b *string) bool { return a == nil || *a == *b }
	return p.Hostname == host.Hostname && same(p.Protocol, host.Protocol) && same(p.Port, host.Port) &&
		(p.Pathname == nil || *p.Pathname == "**") && p.PathnameRegexp == "" && p.Search == nil
}

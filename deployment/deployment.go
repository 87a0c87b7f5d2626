// Package deployment knows the ids by which Next.js tells the versions of an application apart (deploymentId in
// next.config.js, which pages add to urls as dpl=ID), and origins in which such an id stands. An id comes from a
// client: what is not made of its few characters is none, so that putting one into the name of a host or a folder
// cannot make another url or lead elsewhere.
package deployment

import (
	"errors"
	"net/url"
	"strings"
)

// Param is the query parameter in which pages send the id (next/dist/shared/lib/image-loader.js, 16.4.6).
const Param = "dpl"

// MaxID is the length in bytes of the longest id. Next.js knows no limit; this is as much as the name of a host or a
// folder takes beside something else.
const MaxID = 64

// Valid reports whether id is made of the characters that Next.js allows, letters, digits, "-" and "_"
// (next/dist/build/index.js, 16.4.6), of one at least and MaxID at most.
func Valid[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// Placeholder stands for the id in an origin.
const Placeholder = "{dpl}"

// Template is an origin with the placeholder, or without.
type Template struct {
	text   string
	varies bool
	inHost bool
}

// The reasons to refuse a template.
var (
	errURL    = errors.New("is not a url")
	errPlace  = errors.New("has " + Placeholder + " where it may not be: it stands in the host of http and https, in the path of file")
	errHost   = errors.New("leaves the host to whoever sends an id: beside " + Placeholder + " there must be a letter, or a name behind it, as in http://frontend-" + Placeholder + ":3000")
	errFolder = errors.New("leaves the folder to whoever sends an id: there must be a folder above " + Placeholder + ", as in file:///srv/releases/" + Placeholder)
)

// ParseTemplate reads an origin. Without the placeholder everything is fine; whether the rest of it is an origin is for
// others to say. Errors do not repeat the origin, which may hold a password.
//
// An address is never a client's choice: the label of a host that holds the placeholder also holds a letter, or one
// with a letter follows it, so that neither a whole name nor an address can be made of ids; and a folder is chosen
// among the entries of another one, never of the root.
func ParseTemplate(s string) (Template, error) {
	t := Template{text: s, varies: strings.Contains(s, Placeholder)}
	if !t.varies {
		return t, nil
	}
	// Two ids show where the placeholder is: the urls differ there and nowhere else.
	a, errA := url.Parse(t.expand("x1"))
	b, errB := url.Parse(t.expand("x2"))
	if errA != nil || errB != nil {
		return t, errURL
	}
	rest := func(u *url.URL) string {
		same := *u
		if t.inHost {
			port := same.Port()
			same.Host = ":" + port
		} else {
			same.Path, same.RawPath = "", ""
		}
		return same.String()
	}
	switch a.Scheme {
	case "http", "https":
		t.inHost = true
		if rest(a) != rest(b) {
			return t, errPlace
		}
		if !anchored(t.host()) {
			return t, errHost
		}
	case "file":
		if rest(a) != rest(b) {
			return t, errPlace
		}
		path := strings.TrimPrefix(s, "file://")
		at := strings.Index(path, Placeholder)
		if above := strings.Trim(path[:strings.LastIndexByte(path[:at], '/')+1], "/."); above == "" {
			return t, errFolder
		}
	default:
		return t, errPlace
	}
	return t, nil
}

// host is the name of the host, with the placeholder.
func (t Template) host() string {
	_, rest, _ := strings.Cut(t.text, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	host, _, _ := strings.Cut(rest, ":")
	return host
}

// anchored reports whether every placeholder in host has a letter in its label, or in one behind it.
func anchored(host string) bool {
	last := host[strings.LastIndex(host, Placeholder):]
	labels := strings.Split(host, ".")
	behind := strings.Count(last, ".")
	own := labels[len(labels)-1-behind:]
	return strings.ContainsFunc(strings.ReplaceAll(strings.Join(own, "."), Placeholder, ""), func(r rune) bool {
		return 'a' <= r|0x20 && r|0x20 <= 'z'
	})
}

// Varies reports whether there is a placeholder.
func (t Template) Varies() bool { return t.varies }

// InHost reports whether the placeholder is in the name of a host, which has no upper case.
func (t Template) InHost() bool { return t.inHost }

// maxLabel is the longest part of a host's name between dots (RFC 1035, 2.3.4).
const maxLabel = 63

// Expand puts a valid id in the placeholder's place. It reports false where that is no name of a host any more.
func (t Template) Expand(id string) (origin string, ok bool) {
	if !t.varies {
		return t.text, true
	}
	if t.inHost {
		for label := range strings.SplitSeq(strings.ReplaceAll(t.host(), Placeholder, id), ".") {
			if len(label) > maxLabel {
				return "", false
			}
		}
	}
	return t.expand(id), true
}

func (t Template) expand(id string) string { return strings.ReplaceAll(t.text, Placeholder, id) }

package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kind is what a key's values look like.
type kind int

const (
	text kind = iota
	boolean
	integer
	float
	duration
	size
	integers
	texts
	remotes
	locals
	headers
)

// key is one setting, derived from a field of Config.
type key struct {
	path  string // images.deviceSizes
	doc   string // the field's comment
	index []int  // for reflect.Value.FieldByIndex
	kind  kind
	// def is the default as in an environment variable; a key without the tag has the zero value.
	def        string
	hasDefault bool
	enum       []string
	// min and max are the limits as a user would write them, or empty; lo and hi are the same as numbers (nanoseconds, bytes).
	min, max           string
	lo, hi             float64
	minItems, maxItems int // of a list; maxItems is 0 for no limit
}

func (k *key) env() string  { return envName(k.path) }
func (k *key) flag() string { return "--" + k.path }
func (k *key) list() bool   { return k.kind >= integers }

// schema is all keys, in the order of the fields, and what is between them.
type schema struct {
	keys     []*key
	byPath   map[string]*key
	byEnv    map[string]*key
	sections map[string][]string // "" and "cache.disk" → names in it
}

// keys derives the schema from Config, once; it never changes afterwards.
var keys = sync.OnceValue(func() *schema {
	s := &schema{byPath: map[string]*key{}, byEnv: map[string]*key{}, sections: map[string][]string{}}
	s.add("", reflect.TypeFor[Config](), nil)
	return s
})

func (s *schema) add(section string, t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("key")
		if name == "" {
			continue
		}
		s.sections[section] = append(s.sections[section], name)
		path, at := join(section, name), append(index[:len(index):len(index)], i)
		k, ok := kindOf(f.Type)
		if !ok {
			s.add(path, f.Type, at)
			continue
		}
		def, hasDefault := f.Tag.Lookup("default")
		entry := &key{
			path: path, doc: fieldDocs[t.Name()+"."+f.Name], index: at, kind: k, def: def, hasDefault: hasDefault,
			min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		}
		if e := f.Tag.Get("enum"); e != "" {
			entry.enum = strings.Split(e, ",")
		}
		entry.lo, entry.hi = entry.limit(entry.min), entry.limit(entry.max)
		if items := f.Tag.Get("items"); items != "" {
			if _, err := fmt.Sscanf(items, "%d..%d", &entry.minItems, &entry.maxItems); err != nil {
				panic("config: bad items tag of " + path)
			}
		}
		s.keys = append(s.keys, entry)
		s.byPath[path], s.byEnv[entry.env()] = entry, entry
	}
}

// limit is a min or max tag as a number.
func (k *key) limit(tag string) float64 {
	if tag == "" {
		return 0
	}
	if k.kind == duration {
		d, err := time.ParseDuration(tag)
		if err != nil {
			panic("config: bad limit of " + k.path)
		}
		return float64(d)
	}
	f, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic("config: bad limit of " + k.path)
	}
	return f
}

func kindOf(t reflect.Type) (kind, bool) {
	switch t {
	case reflect.TypeFor[string]():
		return text, true
	case reflect.TypeFor[bool]():
		return boolean, true
	case reflect.TypeFor[int]():
		return integer, true
	case reflect.TypeFor[float64]():
		return float, true
	case reflect.TypeFor[time.Duration]():
		return duration, true
	case reflect.TypeFor[ByteSize](), reflect.TypeFor[*ByteSize]():
		return size, true
	case reflect.TypeFor[[]int]():
		return integers, true
	case reflect.TypeFor[[]string]():
		return texts, true
	case reflect.TypeFor[[]RemotePattern]():
		return remotes, true
	case reflect.TypeFor[[]LocalPattern]():
		return locals, true
	case reflect.TypeFor[[]OriginHeaders]():
		return headers, true
	}
	return 0, false
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

const envPrefix = "IMGOPT_"

var (
	lowerUpper = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	upperLower = regexp.MustCompile(`([A-Z])([A-Z](?:[a-rt-z]|s[a-z]))`) // CIDRs is one word
)

// envName returns the variable of a key: images.dangerouslyAllowSVG → IMGOPT_IMAGES_DANGEROUSLY_ALLOW_SVG,
// fetch.allowCIDRs → IMGOPT_FETCH_ALLOW_CIDRS.
func envName(path string) string {
	s := lowerUpper.ReplaceAllString(path, "${1}_$2")
	s = upperLower.ReplaceAllString(s, "${1}_$2")
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s, ".", "_"))
}

// limits says in words what min and max allow. A minimum without a maximum is 0, which goes without saying.
func (k *key) limits() string {
	if k.max == "" {
		return ""
	}
	return " from " + k.min + " to " + k.max
}

// allowed says in words what the values of the key may be.
func (k *key) allowed() string {
	items := ""
	switch {
	case k.maxItems > 0 && k.minItems > 0:
		items = fmt.Sprintf(" of %d to %d", k.minItems, k.maxItems)
	case k.maxItems > 0:
		items = fmt.Sprintf(" of at most %d", k.maxItems)
	}
	switch k.kind {
	case boolean:
		return "true or false"
	case integer:
		return "an integer" + k.limits()
	case float:
		return "a number" + k.limits()
	case duration:
		return "a duration" + k.limits() + ", such as 7s, 500ms or 1m30s"
	case size:
		return "a size" + k.limits() + sizeForms
	case integers:
		return "a list" + items + " integers" + k.limits()
	case texts:
		if k.enum != nil {
			return "a list" + items + " of " + oneOf(k.enum)
		}
		return "a list" + items + " strings"
	case remotes:
		return "a list of patterns {protocol, hostname, port, pathname, search}"
	case locals:
		return "a list of patterns {pathname, search}"
	case headers:
		return "a list" + items + " {origin, headers: {name: value}}"
	}
	if k.enum != nil {
		return oneOf(k.enum)
	}
	return "a string"
}

// oneOf joins names for a sentence: a, b or c.
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// FlagInfo describes the flag and the variable of one key, for a command line parser and for help texts.
type FlagInfo struct {
	// Name is the key and, after two dashes, the flag: transform.maxInputPixels.
	Name string
	// Env is the environment variable.
	Env string
	// Type is a word for the values: string, bool, int, number, duration, size, list or patterns.
	Type string
	// Default is the default as it would be given to the flag.
	Default string
	// Help is what the key means and Allowed what its values may be.
	Help, Allowed string
	// Bool says that the flag may be given without a value, meaning true.
	Bool bool
	// List says that the flag may be repeated: --origin a --origin b is --origin a,b.
	List bool
}

// Flags lists every key in the order of the reference.
func Flags() []FlagInfo {
	types := map[kind]string{
		text: "string", boolean: "bool", integer: "int", float: "number", duration: "duration", size: "size",
		integers: "list", texts: "list", remotes: "patterns", locals: "patterns", headers: "list",
	}
	var out []FlagInfo
	for _, k := range keys().keys {
		out = append(out, FlagInfo{
			Name: k.path, Env: k.env(), Type: types[k.kind], Default: k.def, Help: k.doc, Allowed: k.allowed(),
			Bool: k.kind == boolean, List: k.list(),
		})
	}
	return out
}

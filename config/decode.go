package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// decoder turns the nodes of one source into values and collects what is wrong with them.
type decoder struct {
	origin Origin // of the source; a file's lines are added from the nodes
	raw    string // the text of a variable or flag as it was given
	errs   Errors
}

// at is the origin of a node.
func (d *decoder) at(n *yaml.Node) Origin {
	o := d.origin
	if o.Kind == FromFile {
		o.Line = n.Line
	}
	return o
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	value := ""
	switch {
	case n.Kind == yaml.MappingNode:
		value = "a mapping"
	case d.raw != "" || d.origin.Kind == FromEnv || d.origin.Kind == FromFlag:
		value = quote(d.raw)
	case n.Kind == yaml.SequenceNode:
		value = "a list"
	case n.ShortTag() == "!!null":
		value = "no value"
	case n.ShortTag() == "!!str":
		value = quote(n.Value)
	default:
		value = redact(n.Value)
	}
	d.report(n, path, value, format, args...)
}

func (d *decoder) report(n *yaml.Node, path, value, format string, args ...any) {
	d.errs = append(d.errs, &Error{Origin: d.at(n), Key: path, Value: value, Problem: fmt.Sprintf(format, args...)})
}

// key decodes the value of a key. ok is false if something was wrong, which has been reported.
func (d *decoder) key(k *key, n *yaml.Node) (v reflect.Value, ok bool) {
	n = resolve(n)
	before := len(d.errs)
	value := d.value(k, n)
	if len(d.errs) > before {
		return reflect.Value{}, false
	}
	v = reflect.ValueOf(value)
	if target := reflect.TypeFor[Config]().FieldByIndex(k.index).Type; target.Kind() == reflect.Pointer {
		p := reflect.New(target.Elem())
		p.Elem().Set(v)
		v = p
	}
	return v, true
}

// value decodes the value of a key to the type of kindOf.
func (d *decoder) value(k *key, n *yaml.Node) any {
	switch k.kind {
	case integers:
		return items(d, k, n, func(path string, n *yaml.Node) int { return d.number(k, path, n) })
	case texts:
		if k.path == tracingHeaders {
			return items(d, k, n, d.tracingHeader)
		}
		if strings.HasSuffix(k.path, "origin") && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
			n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{n}}
		}
		return items(d, k, n, func(path string, n *yaml.Node) string { return d.text(k, path, n) })
	case remotes:
		return items(d, k, n, d.remotePattern)
	case locals:
		return items(d, k, n, d.localPattern)
	case headers:
		return items(d, k, n, d.originHeaders)
	case text:
		return d.text(k, k.path, n)
	case boolean:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.fail(n, k.path, "must be true or false")
		}
		return strings.EqualFold(n.Value, "true")
	case integer:
		return d.number(k, k.path, n)
	case float:
		return d.float(k, n)
	case duration:
		return d.duration(k, n)
	default:
		return d.size(k, n)
	}
}

// items decodes a list. The result is never nil: an empty list is a value.
func items[T any](d *decoder, k *key, n *yaml.Node, each func(path string, n *yaml.Node) T) []T {
	out := []T{}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, k.path, "must be %s", k.allowed())
		return out
	}
	if c := len(n.Content); c < k.minItems || (k.maxItems > 0 && c > k.maxItems) {
		d.report(n, k.path, fmt.Sprintf("%d elements", c), "must be %s", k.allowed())
		return out
	}
	for i, item := range n.Content {
		out = append(out, each(fmt.Sprintf("%s[%d]", k.path, i), resolve(item)))
	}
	return out
}

func (d *decoder) text(k *key, path string, n *yaml.Node) string {
	s, ok := d.string(path, n)
	if !ok {
		return ""
	}
	if k.enum != nil {
		if slices.Contains(k.enum, s) {
			return s
		}
		d.fail(n, path, "must be %s", oneOf(k.enum))
		return ""
	}
	if check := checks[k.path]; check != nil {
		if problem := check(s); problem != "" {
			d.fail(n, path, "%s", problem)
		}
	}
	return s
}

// string accepts a text scalar without control characters, which have no place in an address, a path or a header.
func (d *decoder) string(path string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		hint := ""
		if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
			hint = "; put it in quotes"
		}
		d.fail(n, path, "must be a string%s", hint)
		return "", false
	}
	if !utf8.ValidString(n.Value) || strings.ContainsFunc(n.Value, unicode.IsControl) {
		d.fail(n, path, "must be UTF-8 text without control characters")
		return "", false
	}
	return n.Value, true
}

// number decodes an integer and checks the limits.
func (d *decoder) number(k *key, path string, n *yaml.Node) int {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		if i, err := strconv.Atoi(n.Value); err == nil && k.inRange(float64(i)) {
			return i
		}
	}
	d.fail(n, path, "must be an integer%s", k.limits())
	return 0
}

func (d *decoder) float(k *key, n *yaml.Node) float64 {
	if n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!float" || n.ShortTag() == "!!int") {
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && k.inRange(f) {
			return f
		}
	}
	d.fail(n, k.path, "must be %s", k.allowed())
	return 0
}

func (d *decoder) duration(k *key, n *yaml.Node) time.Duration {
	if n.Kind == yaml.ScalarNode {
		v, err := time.ParseDuration(n.Value)
		if err == nil && k.inRange(float64(v)) {
			return v
		}
		if _, number := strconv.ParseFloat(n.Value, 64); err != nil && number == nil {
			d.fail(n, k.path, "has no unit; must be %s", k.allowed())
			return 0
		}
	}
	d.fail(n, k.path, "must be %s", k.allowed())
	return 0
}

func (d *decoder) size(k *key, n *yaml.Node) ByteSize {
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		if n.Value == "" && k.path == "cache.disk.max" {
			return 0
		}
		if b, err := ParseByteSize(n.Value); err == nil && k.inRange(float64(b)) {
			return b
		}
	}
	d.fail(n, k.path, "must be %s", k.allowed())
	return 0
}

// inRange reports whether v is a number within the limits.
func (k *key) inRange(v float64) bool {
	return !math.IsNaN(v) && (k.min == "" || v >= k.lo) && (k.max == "" || v <= k.hi)
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// textNode turns the text of a variable or flag into what a file would hold. Lists are separated by commas, or written
// as in JSON or YAML; patterns always are.
func (d *decoder) textNode(k *key, s string) (*yaml.Node, bool) {
	d.raw = s
	plain := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	str := &yaml.Node{Kind: yaml.ScalarNode, Value: s, Tag: "!!str"}
	trimmed := strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s):
		d.fail(str, k.path, "must be UTF-8 text without control characters")
		return nil, false
	case k.list() && trimmed == "":
		return &yaml.Node{Kind: yaml.SequenceNode}, true
	case k.list() && (k.kind >= remotes || strings.HasPrefix(trimmed, "[")):
		n, err := parseYAML([]byte(s))
		if err != nil || n == nil {
			d.fail(str, k.path, "must be %s, written as JSON", k.allowed())
			return nil, false
		}
		return n, true
	case k.list():
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for item := range strings.SplitSeq(s, ",") {
			n := &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(item)}
			if k.kind == texts {
				n.Tag = "!!str"
			}
			list.Content = append(list.Content, n)
		}
		return list, true
	case k.kind == text, k.kind == size:
		return str, true
	default:
		return plain, true
	}
}

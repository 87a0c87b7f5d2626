package config

import (
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Sources is everything a configuration is made from, beside the defaults and a Next.js build.
type Sources struct {
	// File is the path of the YAML or JSON file. If it is empty, IMGOPT_CONFIG in Env is used; if that is empty too, there
	// is no file.
	File string
	// Env is an environment as os.Environ returns it; what does not begin with IMGOPT_ or OTEL_ is not looked at.
	Env []string
	// Flags are the flags in the order they were given. Of a repeated flag the last counts; those of a list are put together.
	Flags []Flag
}

// Flag is one flag as given on the command line.
type Flag struct {
	// Name is the key, without dashes.
	Name string
	// Value is the text after the equals sign.
	Value string
}

// setting is the value of one key in one layer.
type setting struct {
	value  reflect.Value
	origin Origin
}

// layer maps keys to what one layer says about them.
type layer map[string]setting

type loader struct {
	layers [FromFlag + 1]layer
	errs   Errors
}

// Load reads the sources and returns the configuration and where each of its values came from. An error is of type
// Errors and holds everything that is wrong. Load keeps no state and may be called at any time.
func Load(s Sources) (*Config, *Provenance, error) {
	l := &loader{}
	l.layers[FromDefault] = defaults()
	l.standard(s.Env)
	file := s.File
	if file == "" {
		file = fileFromEnv(s.Env)
	}
	if file != "" {
		l.file(file)
	}
	l.env(s.Env)
	l.flags(s.Flags)

	c := &Config{}
	if dir, ok := l.winner("nextDir", FromFlag); ok && dir.value.String() != "" {
		c.Next = l.nextBuild(dir.value.String(), dir.origin)
	}
	p := &Provenance{origins: map[string]Origin{}}
	for _, k := range keys().keys {
		if v, ok := l.winner(k.path, FromFlag); ok {
			p.origins[k.path] = v.origin
			// A build of an older Next.js can say that a list is unset.
			if v.value.IsValid() {
				reflect.ValueOf(c).Elem().FieldByIndex(k.index).Set(v.value)
			}
		}
	}
	l.completePatterns(c)
	c.Next.inOrigin = c.Next.DeploymentID != "" && c.buildInOrigin()
	if len(l.errs) == 0 {
		l.errs = combinations(c, p)
	}
	if len(l.errs) > 0 {
		return nil, nil, l.errs
	}
	return c, p, nil
}

// winner is the setting of the highest layer up to top that has one.
func (l *loader) winner(path string, top Kind) (setting, bool) {
	for i := top; i >= FromDefault; i-- {
		if v, ok := l.layers[i][path]; ok {
			return v, true
		}
	}
	return setting{}, false
}

func (l *loader) origin(path string) Origin {
	v, _ := l.winner(path, FromFlag)
	return v.origin
}

func defaults() layer {
	out := layer{}
	for _, k := range keys().keys {
		d := &decoder{}
		if !k.hasDefault && !k.list() {
			continue
		}
		if n, ok := d.textNode(k, k.def); ok {
			if v, valid := d.key(k, n); valid {
				out[k.path] = setting{value: v}
			}
		}
		if len(d.errs) > 0 {
			panic("config: bad default: " + d.errs.Error())
		}
	}
	return out
}

// flags decodes the flags, in the order of their first appearance.
func (l *loader) flags(given []Flag) {
	out := layer{}
	l.layers[FromFlag] = out
	nodes, decoders := map[*key]*yaml.Node{}, map[*key]*decoder{}
	var order []*key
	for _, f := range given {
		d := &decoder{origin: Origin{Kind: FromFlag, Name: "--" + f.Name}}
		k, known := keys().byPath[f.Name]
		if !known {
			l.errs = append(l.errs, &Error{Origin: d.origin, Problem: "unknown flag" + suggest(f.Name, paths(), "--")})
			continue
		}
		n, ok := d.textNode(k, f.Value)
		l.errs = append(l.errs, d.errs...)
		if !ok {
			continue
		}
		if before := nodes[k]; before == nil {
			order = append(order, k)
		} else if k.list() && before.Kind == yaml.SequenceNode && n.Kind == yaml.SequenceNode {
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: slices.Concat(before.Content, n.Content)}
			d.raw = decoders[k].raw + "," + d.raw
		}
		nodes[k], decoders[k] = n, d
	}
	for _, k := range order {
		d := decoders[k]
		if v, ok := d.key(k, nodes[k]); ok {
			out[k.path] = setting{value: v, origin: d.origin}
		}
		l.errs = append(l.errs, d.errs...)
	}
}

// paths lists all keys.
func paths() []string {
	var out []string
	for _, k := range keys().keys {
		out = append(out, k.path)
	}
	return out
}

// suggest is the end of the message about an unknown name.
func suggest(name string, names []string, prefix string) string {
	near := nearest(name, names, 3)
	for i := range near {
		near[i] = prefix + near[i]
	}
	if len(near) == 0 {
		return `; "imgopt serve --help" lists all`
	}
	return "; did you mean " + oneOf(near) + "?"
}

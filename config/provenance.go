package config

import "strconv"

// Kind is a layer of the configuration.
type Kind int

// The layers, each winning over the ones before it.
const (
	FromDefault Kind = iota
	FromNextBuild
	FromFile
	FromEnv
	FromFlag
)

// String returns the layer's name: default, next, file, env or flag.
func (k Kind) String() string {
	return [...]string{"default", "next", "file", "env", "flag"}[k]
}

// Origin is where a value came from.
type Origin struct {
	Kind Kind
	// Name is the path of the file or manifest, the name of the variable, or the flag with its dashes; empty for a default.
	Name string
	// Line is the line in a file, counted from 1; otherwise 0.
	Line int
}

// String returns default, .next/required-server-files.json, imgopt.yaml:12, IMGOPT_LISTEN or --listen.
func (o Origin) String() string {
	switch {
	case o.Kind == FromDefault:
		return "default"
	case o.Line > 0:
		return o.Name + ":" + strconv.Itoa(o.Line)
	default:
		return o.Name
	}
}

// Provenance knows the origin of every value of one Config.
type Provenance struct {
	origins map[string]Origin
}

// Of returns the origin of the value of a key such as "cache.disk.path"; a key that was never set is a default.
func (p *Provenance) Of(key string) Origin { return p.origins[key] }

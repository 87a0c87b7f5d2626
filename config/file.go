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
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Sizes far beyond any real file, so that a wrong path cannot fill the memory.
const (
	maxFile     = 1 << 20
	maxManifest = 16 << 20
)

// readFile reads a regular file, or a pipe such as /dev/stdin, of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("larger than %s", ByteSize(limit))
	}
	return data, err
}

// reason is an error without the operation and the path, which the message names already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// file reads the configuration file.
func (l *loader) file(path string) {
	data, err := readFile(path, maxFile)
	if err != nil {
		l.errs = append(l.errs, &Error{Origin: Origin{Kind: FromFile, Name: path}, Problem: "cannot be read: " + reason(err)})
		return
	}
	l.parseFile(path, data)
}

func (l *loader) parseFile(path string, data []byte) {
	f := &fileReader{decoder: decoder{origin: Origin{Kind: FromFile, Name: path}}, out: layer{}}
	l.layers[FromFile] = f.out
	root, err := parseYAML(data)
	switch {
	case err != nil:
		f.syntax(err)
	case root != nil && root.ShortTag() != "!!null":
		f.section("", root)
	}
	l.errs = append(l.errs, f.errs...)
}

// parseYAML returns the root of the only document, or nil if there is none.
func parseYAML(data []byte) (*yaml.Node, error) {
	if json.Valid(data) {
		data = yamlOfJSON(data)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("line %d: only one document is allowed", more.Line)
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	return resolve(doc.Content[0]), nil
}

type fileReader struct {
	decoder
	out layer
}

// grammar are the messages for which the parser counts lines from 0 (yaml.v3, decode.go, fail).
var grammar = regexp.MustCompile(`^did not find expected (',' or |key|'-' indicator|node content|<)`)

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(?s:(.*))$`)

// syntax reports what the YAML parser says, with its line as the others have it.
func (f *fileReader) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	o := f.origin
	o.Line, _ = strconv.Atoi(m[1])
	if o.Line > 0 && grammar.MatchString(m[2]) {
		o.Line++
	}
	f.errs = append(f.errs, &Error{Origin: o, Problem: "not valid YAML: " + m[2]})
}

// section walks through a mapping of keys and further sections.
func (f *fileReader) section(section string, n *yaml.Node) {
	names := keys().sections[section]
	if n.Kind != yaml.MappingNode {
		// A section whose keys are all commented out is empty, not wrong.
		if n.ShortTag() != "!!null" || n.Kind != yaml.ScalarNode {
			f.fail(n, section, "must be a mapping with the keys %s", strings.Join(names, ", "))
		}
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		path := join(section, name.Value)
		if line, twice := lines[name.Value]; twice {
			f.report(name, path, "", "given twice, first in line %d", line)
			continue
		}
		lines[name.Value] = name.Line
		if k := keys().byPath[path]; k != nil && !strings.Contains(name.Value, ".") {
			if v, ok := f.key(k, value); ok {
				o := f.origin
				o.Line = name.Line
				f.out[path] = setting{value: v, origin: o}
			}
		} else if _, sub := keys().sections[path]; sub && name.Value != "" && !strings.Contains(name.Value, ".") {
			f.section(path, value)
		} else {
			f.report(name, redact(path), "", "unknown key%s", f.unknown(section, path))
		}
	}
}

// onlyNext are the options of `images` in next.config.js that a server of optimized images has no use for.
var onlyNext = map[string]bool{
	"images.path": true, "images.loaderFile": true, "images.disableStaticImages": true, "images.customCacheHandler": true,
}

func (f *fileReader) unknown(section, path string) string {
	if onlyNext[path] {
		return "; Next.js needs it, imgopt does not: remove it"
	}
	if keys().byPath[path] != nil || keys().sections[path] != nil {
		return "; write it nested, not with dots"
	}
	names := paths()
	names = slices.AppendSeq(names, maps.Keys(keys().sections))
	slices.Sort(names)
	if near := nearest(path, names, 3); len(near) > 0 {
		return "; did you mean " + oneOf(near) + "?"
	}
	return "; must be " + oneOf(keys().sections[section])
}

package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print writes the configuration as YAML, the origin of every value beside it. The output is a configuration file with
// the same effect, but for the userinfo of urls, which is left out.
func Print(w io.Writer, c *Config, p *Provenance) error {
	var b strings.Builder
	if c.Next.Dir != "" {
		fmt.Fprintf(&b, "# Next.js build: %s\n", oneLine(strings.Join(nextFacts(c.Next), ", ")))
	}
	if err := printSection(&b, "", "", c, p); err != nil {
		return err
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}

func nextFacts(n NextBuild) []string {
	facts := []string{n.Dir}
	if n.Version != "" {
		facts = append(facts, "Next.js "+n.Version)
	}
	if n.DeploymentID != "" {
		facts = append(facts, "deploymentId "+n.DeploymentID)
	}
	if n.AssetPrefix != "" {
		facts = append(facts, "assetPrefix "+redact(n.AssetPrefix))
	}
	return facts
}

func printSection(b *strings.Builder, section, indent string, c *Config, p *Provenance) error {
	for _, name := range keys().sections[section] {
		path := join(section, name)
		k := keys().byPath[path]
		if k == nil {
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			if err := printSection(b, path, indent+"  ", c, p); err != nil {
				return err
			}
			continue
		}
		origin := oneLine(p.Of(path).String())
		v := shown(c, k)
		if v == nil {
			fmt.Fprintf(b, "%s# %s: unset  # %s\n", indent, name, origin)
			continue
		}
		patterns, _ := v.([]any)
		if k.kind < remotes {
			patterns = nil
		}
		if len(patterns) > 0 {
			fmt.Fprintf(b, "%s%s:  # %s\n", indent, name, origin)
			for _, item := range patterns {
				line, err := flow(item)
				if err != nil {
					return fmt.Errorf("print %s: %w", path, err)
				}
				fmt.Fprintf(b, "%s  - %s\n", indent, line)
			}
			continue
		}
		line, err := flow(v)
		if err != nil {
			return fmt.Errorf("print %s: %w", path, err)
		}
		fmt.Fprintf(b, "%s%s: %s  # %s\n", indent, name, line, origin)
	}
	return nil
}

// shown is the value of a key as plain data: bools, numbers, strings, []any and patterns, or nil if it is unset.
func shown(c *Config, k *key) any {
	v := reflect.ValueOf(c).Elem().FieldByIndex(k.index)
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case ByteSize:
		return sizeValue(x)
	case *ByteSize:
		if x == nil {
			return nil
		}
		return sizeValue(*x)
	}
	if k.path == "debug.serverTimingToken" && v.String() != "" {
		return redacted
	}
	if k.path == "storage.url" && v.String() != "" {
		return redactURL(v.String())
	}
	if v.Kind() != reflect.Slice {
		return v.Interface()
	}
	if v.IsNil() {
		return nil
	}
	list := make([]any, v.Len())
	for i := range list {
		list[i] = v.Index(i).Interface()
		if s, ok := list[i].(string); ok && strings.HasSuffix(k.path, "origin") {
			list[i] = redactURL(s)
		}
		if s, ok := list[i].(string); ok && k.path == tracingHeaders {
			name, _, _ := strings.Cut(s, "=")
			list[i] = name + "=" + redacted
		}
		if h, ok := list[i].(OriginHeaders); ok {
			list[i] = h.redacted()
		}
	}
	return list
}

// sizeValue is a size as a person writes it: a plain number of bytes, or text with a unit.
func sizeValue(b ByteSize) any {
	if s := b.String(); s[len(s)-1] == 'B' {
		return s
	}
	return int64(b)
}

func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return redact(s)
	}
	if u.User != nil {
		u.User = url.User(redacted)
		s = u.String()
	}
	return redact(s)
}

// flow writes a value as YAML on one line.
func flow(v any) (string, error) {
	switch v.(type) {
	case RemotePattern, LocalPattern:
		// JSON keeps the order of the fields and tells unset from "".
		data, err := compactJSON(v)
		return string(data), err
	}
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return "", err
	}
	n.Style |= yaml.FlowStyle
	data, err := yaml.Marshal(&n)
	return strings.TrimSuffix(string(data), "\n"), err
}

func compactJSON(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// PrintJSON writes an object with three members: config, which is a configuration file as Print writes it, origins,
// from key to where its value came from, and next, the Next.js build, or null.
func PrintJSON(w io.Writer, c *Config, p *Provenance) error {
	type origin struct {
		Layer string `json:"layer"`
		Name  string `json:"name,omitempty"`
		Line  int    `json:"line,omitempty"`
	}
	out := struct {
		Config  map[string]any    `json:"config"`
		Origins map[string]origin `json:"origins"`
		Next    *NextBuild        `json:"next"`
	}{map[string]any{}, map[string]origin{}, nil}
	for _, k := range keys().keys {
		o := p.Of(k.path)
		out.Origins[k.path] = origin{o.Kind.String(), o.Name, o.Line}
		v := shown(c, k)
		if v == nil {
			continue
		}
		at, names := out.Config, strings.Split(k.path, ".")
		for _, section := range names[:len(names)-1] {
			next, ok := at[section].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[section] = next
			}
			at = next
		}
		at[names[len(names)-1]] = v
	}
	if c.Next.Dir != "" {
		build := c.Next
		build.AssetPrefix = redactURL(build.AssetPrefix)
		out.Next = &build
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("print configuration as JSON: %w", err)
	}
	return nil
}

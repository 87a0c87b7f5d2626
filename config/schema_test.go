package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// samples are values, as in a variable, for the keys whose values cannot be made up from their type.
var samples = map[string]string{
	"listen":                       "127.0.0.1:4000",
	"adminListen":                  "127.0.0.1:4001",
	"origin":                       "file:///app/public,http://frontend:3000",
	"deployment.origin":            "file:///srv/releases/{dpl},http://frontend-{dpl}:3000",
	"deployment.ids":               "v41,v42",
	"deployment.cookie":            "__vdpl",
	"nextDir":                      "testdata/next/basepath",
	"basePath":                     "/shop",
	"images.domains":               "a.example.com,b.example.com",
	"images.remotePatterns":        `[{"hostname": "**.example.com", "port": ""}]`,
	"images.localPatterns":         `[{"pathname": "/a/**", "search": "?v=1"}]`,
	"images.contentSecurityPolicy": "default-src 'none'",
	"cache.disk.path":              "/var/cache/imgopt",
	"storage.path":                 "/var/lib/imgopt",
	"storage.url":                  "valkeys://user:s3cret@a.example.com:6380,b.example.com:6380?cluster=true",
	"storage.prefix":               "shop:",
	"debug.serverTimingToken":      "s3cret-token",
	"fetch.allowCIDRs":             "10.0.0.0/8,fd00::/8",
	"tracing.endpoint":             "http://collector:4318",
	"tracing.headers":              "authorization=Bearer s3cret,x-scope=shop",
	"fetch.headers":                `[{"origin": "https://bucket.example.com", "headers": {"Authorization": "Bearer s3cret"}}]`,
}

// companions are what else must be set for a key to be set.
var companions = map[string][]Flag{
	"storage.type":            {{Name: "storage.url", Value: "valkey://127.0.0.1"}},
	"storage.url":             {{Name: "storage.type", Value: "valkey"}},
	"debug.serverTiming":      {{Name: "debug.serverTimingToken", Value: "s3cret-token"}},
	"debug.serverTimingToken": {{Name: "debug.serverTiming", Value: "request"}},
	"role":                    {{Name: "storage.type", Value: "valkey"}, {Name: "storage.url", Value: "valkey://127.0.0.1"}},
	"storage.path":            {{Name: "storage.type", Value: "filesystem"}},
	"deployment.ids":          {{Name: "deployment.origin", Value: "http://frontend-{dpl}:3000"}},
	"cache.disk.max":          {{Name: "cache.disk.path", Value: "/var/cache/imgopt"}},
}

// sample returns a value for k that is not its default.
func sample(t *testing.T, k *key) string {
	t.Helper()
	if s, ok := samples[k.path]; ok {
		return s
	}
	switch k.kind {
	case boolean:
		return fmt.Sprint(k.def != "true")
	case integer:
		return fmt.Sprint(int(k.lo) + 5)
	case float:
		return "0.5"
	case duration:
		return (time.Duration(k.lo) + time.Second).String()
	case size:
		return "3MiB"
	case integers:
		return "3,7"
	case texts, text:
		if k.enum != nil {
			return k.enum[len(k.enum)-1-b2i(k.def == k.enum[len(k.enum)-1])]
		}
	}
	t.Fatalf("%s: add a value to samples", k.path)
	return ""
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// get returns the value of a key of a configuration.
func get(c *Config, path string) any {
	return reflect.ValueOf(c).Elem().FieldByIndex(keys().byPath[path].index).Interface()
}

// inFile writes a sample as a YAML file, nested.
func inFile(t *testing.T, k *key, s string) string {
	t.Helper()
	d := &decoder{}
	n, ok := d.textNode(k, s)
	if !ok {
		t.Fatal(d.errs)
	}
	names := strings.Split(k.path, ".")
	for i := len(names) - 1; i >= 0; i-- {
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: names[i]}, n}}
	}
	data, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, string(data))
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "imgopt.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, s Sources) (*Config, *Provenance) {
	t.Helper()
	c, p, err := Load(s)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c, p
}

// TestEveryKey fails for a key without documentation, and for one that cannot be set in every way.
func TestEveryKey(t *testing.T) {
	defaults, _ := mustLoad(t, Sources{})
	envs := map[string]string{}
	for _, k := range keys().keys {
		t.Run(k.path, func(t *testing.T) {
			if k.max == "" && k.min != "" && k.min != "0" {
				t.Errorf("a minimum of %s without a maximum is not shown by limits", k.min)
			}
			if k.doc == "" || !strings.HasSuffix(k.doc, ".") {
				t.Errorf("comment %q is not a sentence", k.doc)
			}
			if other, taken := envs[k.env()]; taken {
				t.Errorf("variable %s is also that of %s", k.env(), other)
			}
			envs[k.env()] = k.path

			value := sample(t, k)
			var also []Flag
			if c, ok := companions[k.path]; ok {
				also = append(also, c...)
			}
			results := map[string]any{}
			for name, tt := range map[string]struct {
				sources Sources
				kind    Kind
			}{
				"file": {Sources{File: inFile(t, k, value), Flags: also}, FromFile},
				"env":  {Sources{Env: []string{"HOME=/", k.env() + "=" + value}, Flags: also}, FromEnv},
				"flag": {Sources{Flags: append(also, Flag{Name: k.path, Value: value})}, FromFlag},
			} {
				c, p := mustLoad(t, tt.sources)
				if got := p.Of(k.path).Kind; got != tt.kind {
					t.Errorf("%s: origin %v", name, got)
				}
				results[name] = get(c, k.path)
				if reflect.DeepEqual(results[name], get(defaults, k.path)) {
					t.Errorf("%s: %q has no effect", name, value)
				}
			}
			if !reflect.DeepEqual(results["file"], results["env"]) || !reflect.DeepEqual(results["file"], results["flag"]) {
				t.Errorf("the ways differ: %v", results)
			}
		})
	}
}

// TestEveryField fails for an exported field that is neither a key nor a section of keys.
func TestEveryField(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Type == reflect.TypeFor[NextBuild]() {
				continue
			}
			if f.Tag.Get("key") == "" {
				t.Errorf("%s.%s is no key", typ.Name(), f.Name)
			}
			if _, ok := kindOf(f.Type); !ok {
				if f.Type.Kind() != reflect.Struct {
					t.Errorf("%s.%s: no values of type %s", typ.Name(), f.Name, f.Type)
					continue
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

func TestEnvName(t *testing.T) {
	for path, want := range map[string]string{
		"listen":                         "IMGOPT_LISTEN",
		"adminListen":                    "IMGOPT_ADMIN_LISTEN",
		"storage.type":                   "IMGOPT_STORAGE_TYPE",
		"cache.disk.path":                "IMGOPT_CACHE_DISK_PATH",
		"images.deviceSizes":             "IMGOPT_IMAGES_DEVICE_SIZES",
		"images.minimumCacheTTL":         "IMGOPT_IMAGES_MINIMUM_CACHE_TTL",
		"images.dangerouslyAllowSVG":     "IMGOPT_IMAGES_DANGEROUSLY_ALLOW_SVG",
		"images.dangerouslyAllowLocalIP": "IMGOPT_IMAGES_DANGEROUSLY_ALLOW_LOCAL_IP",
	} {
		if got := envName(path); got != want {
			t.Errorf("envName(%q) = %s, want %s", path, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	flags := Flags()
	if len(flags) != len(keys().keys) {
		t.Fatalf("%d flags for %d keys", len(flags), len(keys().keys))
	}
	byName := map[string]FlagInfo{}
	for _, f := range flags {
		byName[f.Name] = f
	}
	want := FlagInfo{
		Name: "log.level", Env: "IMGOPT_LOG_LEVEL", Type: "string", Default: "info",
		Help: "Least important level that is logged.", Allowed: "debug, info, warn or error",
	}
	if got := byName["log.level"]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !byName["log.access"].Bool || !byName["origin"].List || byName["origin"].Bool {
		t.Errorf("log.access %+v, origin %+v", byName["log.access"], byName["origin"])
	}
}

func TestReference(t *testing.T) {
	golden(t, "testdata/reference.md", []byte(Reference()))
}

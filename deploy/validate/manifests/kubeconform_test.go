package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
)

// moduleDir returns where the source of a module of go.mod is.
func moduleDir(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

var schemas string // directory, set by TestMain

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "schemas")
	if err == nil {
		schemas = dir
		err = writeSchemas(dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// writeSchemas makes JSON schemas, as kubeconform wants them, of the OpenAPI documents in the module of Kubernetes and
// of the definitions of custom resources. No key is allowed that they do not name.
func writeSchemas(dir string) error {
	module, err := moduleDir("k8s.io/kubernetes")
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(module, "api", "openapi-spec", "v3", "*__v*_openapi.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("the OpenAPI documents of Kubernetes are not found in %s: %w", module, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data = bytes.ReplaceAll(data, []byte(`"#/components/schemas/`), []byte(`"#/definitions/`))
		var document struct {
			Components struct{ Schemas map[string]map[string]any }
		}
		if err := json.Unmarshal(data, &document); err != nil {
			return err
		}
		for _, s := range document.Components.Schemas {
			close(s)
		}
		for name, s := range document.Components.Schemas {
			kinds, _ := s["x-kubernetes-group-version-kind"].([]any)
			for _, k := range kinds {
				k := k.(map[string]any)
				if len(kinds) > 1 {
					continue // DeleteOptions and the like
				}
				if err := writeSchema(dir, k, map[string]any{"$ref": "#/definitions/" + name, "definitions": document.Components.Schemas}); err != nil {
					return err
				}
			}
		}
	}
	custom, err := readDefinitions()
	if err != nil {
		return err
	}
	for gvk, props := range custom {
		data, err := json.Marshal(props)
		if err != nil {
			return err
		}
		var s map[string]any
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		close(s)
		if err := writeSchema(dir, map[string]any{"kind": gvk.Kind, "group": gvk.Group, "version": gvk.Version}, s); err != nil {
			return err
		}
	}
	return nil
}

// close forbids keys that a schema does not name.
func close(s map[string]any) {
	if properties, ok := s["properties"].(map[string]any); ok {
		if _, open := s["additionalProperties"]; !open && s["x-kubernetes-preserve-unknown-fields"] == nil {
			s["additionalProperties"] = false
		}
		for _, p := range properties {
			if p, ok := p.(map[string]any); ok {
				close(p)
			}
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if p, ok := s[key].(map[string]any); ok {
			close(p)
		}
	}
}

const schemaFile = "%s-%s-%s.json"

func writeSchema(dir string, gvk, s map[string]any) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	group := gvk["group"].(string)
	if group == "" {
		group = gvk["version"].(string) // kubeconform's name for the core group
	}
	name := fmt.Sprintf(schemaFile, strings.ToLower(gvk["kind"].(string)), group, gvk["version"])
	return os.WriteFile(filepath.Join(dir, name), data, 0o644)
}

var kubeconform = sync.OnceValues(func() (validator.Validator, error) {
	location := filepath.Join(schemas, `{{ .ResourceKind }}-{{ .Group }}-{{ .ResourceAPIVersion }}.json`)
	return validator.New([]string{location}, validator.Opts{Strict: true})
})

// conforms runs kubeconform over a manifest.
func conforms(t *testing.T, where, text string) {
	t.Helper()
	v, err := kubeconform()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range v.Validate(where, io.NopCloser(strings.NewReader(text))) {
		signature, err := r.Resource.Signature()
		if err != nil || r.Status == validator.Empty {
			continue
		}
		found++
		switch {
		case r.Status == validator.Valid:
		case r.Status == validator.Error && undefined[strings.SplitN(signature.Version, "/", 2)[0]]: // no schema
		default:
			t.Errorf("%s: %s %s: %v %v", where, signature.Kind, signature.Name, r.Err, errors.Join(messages(r.ValidationErrors)...))
		}
	}
	if found == 0 {
		t.Errorf("%s: kubeconform found nothing to check", where)
	}
}

func messages(all []validator.ValidationError) (errs []error) {
	for _, e := range all {
		errs = append(errs, fmt.Errorf("%s: %s", e.Path, e.Msg))
	}
	return errs
}

package manifests

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// definitions are where the modules of go.mod keep their CustomResourceDefinitions.
var definitions = map[string]string{ // module: files
	"sigs.k8s.io/gateway-api":       "config/crd/standard/*.yaml",
	"github.com/kedacore/keda/v2":   "config/crd/bases/*.yaml",
	"github.com/traefik/traefik/v3": "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml",
	"github.com/envoyproxy/gateway": "charts/gateway-crds-helm/templates/generated/*.yaml",
}

// undefined are groups whose module has types only.
var undefined = map[string]bool{"monitoring.coreos.com": true, "k8s.nginx.org": true}

// templateLine is a condition in a definition that is part of a chart.
var templateLine = regexp.MustCompile(`(?m)^\s*\{\{.*\}\}\s*$`)

var readDefinitions = sync.OnceValues(func() (map[schema.GroupVersionKind]*apiextensionsv1.JSONSchemaProps, error) {
	all := map[schema.GroupVersionKind]*apiextensionsv1.JSONSchemaProps{}
	for module, pattern := range definitions {
		dir, err := moduleDir(module)
		if err != nil {
			return nil, err
		}
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			for _, document := range strings.Split(string(data), "\n---\n") {
				document = templateLine.ReplaceAllString(document, "")
				var crd apiextensionsv1.CustomResourceDefinition
				if yaml.Unmarshal([]byte(document), &crd) != nil || crd.Kind != "CustomResourceDefinition" {
					continue // a policy
				}
				for _, v := range crd.Spec.Versions {
					all[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = v.Schema.OpenAPIV3Schema
				}
			}
		}
	}
	return all, nil
})

// validateCustom does what the API server does with a custom resource: its schema, and the rules written in CEL.
func validateCustom(t *testing.T, o *object) {
	t.Helper()
	gvk := o.meta.GroupVersionKind()
	if undefined[gvk.Group] {
		return
	}
	all, err := readDefinitions()
	if err != nil {
		t.Fatal(err)
	}
	props := all[gvk]
	if props == nil {
		t.Errorf("%v: no definition of %v is found in the modules", o, gvk)
		return
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		t.Fatal(err)
	}
	shape, err := structural.NewStructural(&internal)
	if err != nil {
		t.Fatal(err)
	}
	// As the API server reads JSON: whole numbers are integers.
	asJSON, err := yaml.YAMLToJSON(o.text)
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := json.Unmarshal(asJSON, &content); err != nil {
		t.Fatal(err)
	}
	defaulting.Default(content, shape)
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range validation.ValidateCustomResource(nil, content, validator) {
		t.Errorf("%v: %v", o, e)
	}
	if rules := cel.NewValidator(shape, true, celconfig.PerCallLimit); rules != nil {
		errs, _ := rules.Validate(context.Background(), nil, shape, content, nil, celconfig.RuntimeCELCostBudget)
		for _, e := range errs {
			t.Errorf("%v: %v", o, e)
		}
	}
}

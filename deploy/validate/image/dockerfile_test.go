// Package image checks the Dockerfile and the compose file with the parsers of BuildKit and Compose, and runs what the
// Dockerfile puts into the image, in a root directory of its own, without a container engine.
package image

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/moby/patternmatcher"

	"imgopt/deploy/validate/internal/lab"
)

func TestDockerfile(t *testing.T) {
	t.Parallel()
	result, err := parser.Parse(strings.NewReader(lab.Read(t, "docker/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Warnings {
		t.Errorf("%s", w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	stages, _, err := instructions.Parse(result.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("the image is made from %s", last.BaseName)
	}
	var user, entry string
	var health []string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = strings.Join(c.CmdLine, " ")
			if c.PrependShell {
				t.Error("ENTRYPOINT needs a shell, which is not there")
			}
		case *instructions.HealthCheckCommand:
			health = c.Health.Test
		case *instructions.RunCommand, *instructions.AddCommand:
			t.Errorf("%s in the last stage", c.Name())
		case *instructions.CopyCommand:
			if c.From != "build" {
				t.Errorf("COPY from %q", c.From)
			}
		}
	}
	if user != "65532:65532" { // by number: Kubernetes cannot tell otherwise that it is not root
		t.Errorf("USER %q", user)
	}
	if !slices.Equal(health, []string{"CMD", "/usr/local/bin/imgopt", "health"}) || entry != "/usr/local/bin/imgopt" {
		t.Errorf("HEALTHCHECK %q, ENTRYPOINT %q", health, entry)
	}
	// Two names of one platform would be a build that works for one of the two only.
	for _, s := range stages {
		if s.Platform != "" {
			t.Errorf("stage %s is for %s only", s.Name, s.Platform)
		}
	}
}

// What COPY takes is not ignored, and what must not be in a build is.
func TestDockerignore(t *testing.T) {
	t.Parallel()
	patterns, err := ignorefile.ReadAll(strings.NewReader(lab.Read(t, "docker/Dockerfile.dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"go.mod": false, "Makefile": false, "LICENSE": false, "scripts/libvips": false, "scripts/build": false, "deps/libvips/package-lock.json": false,
		"cmd/imgopt/main.go": false, "handler/demo/index.html": false, "deploy/docker/rootfs": false,
		".git/config": true, "bin/imgopt": true, ".build/libvips/stamp": true, "deps/libvips/node_modules/x": true, "e2e/next/node_modules/y": true,
		"deploy/validate/go.mod": true, "deploy/docker/compose.yaml": true,
	} {
		if got, err := m.MatchesOrParentMatches(name); err != nil || got != want {
			t.Errorf("%s: ignored %v, want %v (%v)", name, got, want, err)
		}
	}
}

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A build tells its version. What origin serves is sure to be that version only if it is the folder of the build.
func TestOwnDeployment(t *testing.T) {
	dir := t.TempDir()
	copyBuild(t, "defaults", filepath.Join(dir, "app/.next"), serverFilesManifest, imagesManifest, routesManifest)
	manifest := filepath.Join(dir, "app/.next", serverFilesManifest)
	data, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(data), `"config": {`, `"config": {"deploymentId": "v42",`, 1)
	if with == string(data) {
		t.Fatal("no config in the manifest")
	}
	if err := os.WriteFile(manifest, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("app", filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	const other = "http://frontend-{dpl}:3000"
	for _, row := range []struct{ nextDir, origin, deployments, want string }{
		{"app", "file://DIR/app,http://frontend:3000", other, "v42"},
		{"app/.next", "http://frontend:3000,file://DIR/app", other, "v42"},
		{"app", "file://DIR/current", other, "v42"},
		{"current", "file://DIR/app", other, "v42"},
		{"app", "file://DIR/app", "", ""},
		{"app", "http://frontend:3000", other, ""},
		{"app", "file://DIR/other", other, ""},
		{"app", "file://DIR/app/.next", other, ""},
	} {
		c, _ := mustLoad(t, Sources{Flags: []Flag{
			{"nextDir", filepath.Join(dir, row.nextDir)},
			{"origin", strings.ReplaceAll(row.origin, "DIR", dir)},
			{"deployment.origin", row.deployments},
		}})
		if c.Next.DeploymentID != "v42" {
			t.Errorf("%+v: the build says it is %q", row, c.Next.DeploymentID)
		}
		if got := c.OwnDeployment(); got != row.want {
			t.Errorf("%+v: %q", row, got)
		}
	}
	c, _ := mustLoad(t, Sources{Flags: []Flag{{"nextDir", "testdata/next/defaults"}, {"origin", "file://" + dir + "/app"}, {"deployment.origin", other}}})
	if got := c.OwnDeployment(); got != "" {
		t.Errorf("a build without an id: %q", got)
	}
}

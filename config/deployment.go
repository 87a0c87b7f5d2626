package config

import (
	"os"
	"path/filepath"
	"strings"

	"imgopt/deployment"
)

// checkDeploymentOrigin checks an origin that may hold the placeholder: with an id in it, it is an origin like any other.
func checkDeploymentOrigin(s string) string {
	t, err := deployment.ParseTemplate(s)
	if err != nil {
		return err.Error()
	}
	example, ok := t.Expand("x")
	if !ok {
		return "has a host whose name is too long"
	}
	return checkOrigin(example)
}

func checkDeploymentID(s string) string {
	return unless(deployment.Valid(s), "must be letters, digits, - and _, at most 64, as deploymentId in next.config.js")
}

// checkCookie wants a name as RFC 6265, section 4.1.1, has it.
func checkCookie(s string) string {
	fine := len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) })
	return unless(fine, "must be the name of a cookie, at most 100 characters, or empty")
}

// deployments finds what is wrong with the keys together.
func (c *Config) deployments() (path, problem string) {
	list := c.Deployment.Origin
	switch {
	case len(list) == 0 && len(c.Deployment.IDs) > 0:
		return "deployment.ids", "needs deployment.origin, where their images are"
	case len(list) > 0 && !strings.Contains(strings.Join(list, ""), deployment.Placeholder):
		return "deployment.origin", "must have " + deployment.Placeholder + " in one of its elements, such as http://frontend-" + deployment.Placeholder + ":3000"
	}
	return "", ""
}

// OwnDeployment is the version of the application that `origin` is sure to serve, "" if there is none: the id of the
// Next.js build in nextDir, if that build is in a folder of `origin`. Behind a url there may be any version.
func (c *Config) OwnDeployment() string {
	if !c.Next.inOrigin || len(c.Deployment.Origin) == 0 {
		return ""
	}
	return c.Next.DeploymentID
}

// buildInOrigin looks whether the build is in a folder of origin, which holds it as .next.
func (c *Config) buildInOrigin() bool {
	build, err := os.Stat(c.Next.Dir)
	if err != nil {
		return false
	}
	for _, o := range c.Origin {
		if folder, ok := strings.CutPrefix(o, "file://"); ok {
			if there, err := os.Stat(filepath.Join(folder, ".next")); err == nil && os.SameFile(there, build) {
				return true
			}
		}
	}
	return false
}

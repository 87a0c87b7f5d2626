package config

import (
	"regexp"
	"slices"
	"strings"
)

// fileFromEnv returns the value of IMGOPT_CONFIG, which is the flag --config.
func fileFromEnv(environ []string) (path string) {
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); name == envPrefix+"CONFIG" {
			path = value
		}
	}
	return path
}

// env decodes the variables, sorted by name so that errors have a stable order.
func (l *loader) env(environ []string) {
	out := layer{}
	l.layers[FromEnv] = out
	var names []string
	for _, k := range keys().keys {
		names = append(names, k.env())
	}
	environ = slices.Clone(environ)
	slices.SortStableFunc(environ, func(a, b string) int { return strings.Compare(nameOf(a), nameOf(b)) })
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || name == envPrefix+"CONFIG" || serviceLink(name, value) {
			continue
		}
		d := &decoder{origin: Origin{Kind: FromEnv, Name: name}}
		k, known := keys().byEnv[name]
		if !known {
			// The value stays out of the message: a variable that is not known may well be a password.
			l.errs = append(l.errs, &Error{Origin: d.origin, Problem: "unknown variable" + suggest(name, names, "")})
			continue
		}
		if n, ok := d.textNode(k, value); ok {
			if v, valid := d.key(k, n); valid {
				out[k.path] = setting{value: v, origin: d.origin}
			}
		}
		l.errs = append(l.errs, d.errs...)
	}
}

func nameOf(e string) string {
	name, _, _ := strings.Cut(e, "=")
	return name
}

var (
	serviceName = regexp.MustCompile(`^IMGOPT(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort = regexp.MustCompile(`^IMGOPT(_[A-Z0-9_]+)?_PORT$`)
	serviceURL  = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// serviceLink reports whether Kubernetes set the variable: in the namespace of a Service whose name is imgopt, or begins
// with imgopt-, every container gets IMGOPT_SERVICE_HOST, IMGOPT_PORT=tcp://10.0.0.1:80, IMGOPT_PORT_80_TCP and so on
// (kubernetes.io/docs/tutorials/services/connect-applications-service). Nobody wrote them, so they are not mistakes.
func serviceLink(name, value string) bool {
	return serviceName.MatchString(name) || servicePort.MatchString(name) && serviceURL.MatchString(value)
}

package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"imgopt/valkey"
)

// checks are rules for single values that the tags of a field cannot express. A check returns what is wrong, or "".
var checks = map[string]func(string) string{
	"listen":      checkListen,
	"adminListen": func(s string) string { return unless(s == "", checkListen(s)) },
	"basePath":    checkBasePath,
	"origin":      checkOrigin,

	"deployment.origin": checkDeploymentOrigin,
	"deployment.ids":    checkDeploymentID,
	"deployment.cookie": checkCookie,

	"tracing.endpoint": checkTracingEndpoint,
	"fetch.allowCIDRs": checkCIDR,
	"storage.url":      checkStorageURL,
	"storage.prefix":   checkPrefix,
}

// checkStorageURL leaves out the value's secrets: valkey.ParseURL's errors have none.
func checkStorageURL(s string) string {
	if s == "" {
		return ""
	}
	if strings.Contains(s, "://"+redacted+"@") || strings.Contains(s, "assword="+redacted) {
		return `holds "` + redacted + `" in place of a secret that "imgopt config" left out; put the secret back`
	}
	if _, err := valkey.ParseURL(s); err != nil {
		return err.Error()
	}
	return ""
}

// checkPrefix refuses braces: they would decide on the place of every key in a cluster.
func checkPrefix(s string) string {
	return unless(len(s) <= 100 && !strings.ContainsAny(s, "{} \n\r\t"), "must have at most 100 characters, and no braces or spaces")
}

func unless(fine bool, problem string) string {
	if fine {
		return ""
	}
	return problem
}

func checkListen(s string) string {
	host, port, err := net.SplitHostPort(s)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	fine := err == nil && notNumber == nil && port == strconv.FormatUint(n, 10) && !strings.ContainsAny(host, "/ ")
	return unless(fine, "must be host:port or :port, with a port from 0 to 65535")
}

// checkBasePath has the rules of next/dist/server/config.js, and refuses what no request's path can begin with.
func checkBasePath(s string) string {
	fine := s == "" || strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "?# \\")
	return unless(fine, `must be empty or a path that starts with / and does not end with it, such as /docs`)
}

func checkOrigin(s string) string {
	const want = "must be http://host[:port], https://host[:port] or file:///directory"
	u, err := url.Parse(s)
	if err != nil {
		return want
	}
	if u.User != nil && u.User.String() == redacted {
		return `holds "` + redacted + `" in place of a secret that "imgopt config" left out; put the secret back`
	}
	switch u.Scheme {
	case "http", "https":
		// Go leaves the range of a port to the dialer, and an empty one ("host:") to the reader.
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		portFine := err == nil && port > 0 || u.Port() == "" && !strings.HasSuffix(u.Host, ":")
		return unless(u.Hostname() != "" && portFine && (u.Path == "" || u.Path == "/") && !strings.ContainsAny(s, "?#"), want)
	case "file":
		return unless(u.Host == "" && u.User == nil && strings.HasPrefix(u.Path, "/") && !strings.ContainsAny(s, "?#"), want)
	case "":
		if strings.HasPrefix(s, "/") {
			return want + "; a directory is file://" + s
		}
	}
	return want
}

// checkCIDR refuses addresses with bits outside their range too: they are a slip of some kind.
func checkCIDR(s string) string {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return "must be a CIDR range, such as 10.1.0.0/16 or fd00:1::/32"
	case p != p.Masked():
		return "must be a CIDR range without bits outside of it: " + p.Masked().String()
	case p.Addr().Is4In6():
		return "must be given as IPv4, without ::ffff:"
	}
	return ""
}

// combinations finds values that are fine alone but not together.
func combinations(c *Config, p *Provenance) (errs Errors) {
	add := func(path, value, problem string) {
		errs = append(errs, &Error{Origin: p.Of(path), Key: path, Value: value, Problem: problem})
	}
	// said is the value of another key and who said it.
	said := func(path, value string) string { return path + " (" + quote(value) + ", " + p.Of(path).String() + ")" }

	// The key given last in the order of layers is the one to blame.
	if overlap(c.Listen, c.AdminListen) {
		if p.Of("listen").Kind > p.Of("adminListen").Kind {
			add("listen", quote(c.Listen), "must be another address than "+said("adminListen", c.AdminListen))
		} else {
			add("adminListen", quote(c.AdminListen), "must be another address than "+said("listen", c.Listen))
		}
	}
	switch {
	case c.Storage.Type == "filesystem" && c.Storage.Path == "":
		add("storage.type", quote(c.Storage.Type), "needs storage.path, the directory to keep jobs in")
	case c.Storage.Type != "filesystem" && c.Storage.Path != "":
		add("storage.path", quote(c.Storage.Path), "must be empty unless storage.type is filesystem; "+said("storage.type", c.Storage.Type))
	case c.Storage.Path != "" && filepath.Clean(c.Storage.Path) == filepath.Clean(c.Cache.Disk.Path):
		add("storage.path", quote(c.Storage.Path), "must be another directory than "+said("cache.disk.path", c.Cache.Disk.Path))
	}
	switch {
	case c.Shared() && c.Storage.URL == "":
		add("storage.type", quote(c.Storage.Type), "needs storage.url, for example valkey://127.0.0.1:6379")
	case !c.Shared() && c.Storage.URL != "":
		add("storage.url", quote(c.Storage.URL), "must be empty unless storage.type is valkey or redis; "+said("storage.type", c.Storage.Type))
	case !c.Shared() && c.Role != RoleAll:
		add("role", quote(c.Role), "must be all unless storage.type is valkey or redis; "+said("storage.type", c.Storage.Type))
	}
	if c.Shared() && c.Storage.URL != "" {
		if a, err := valkey.ParseURL(c.Storage.URL); err == nil && c.Storage.DB != 0 && a.DB != 0 && a.DB != c.Storage.DB {
			add("storage.db", strconv.Itoa(c.Storage.DB), "must be the database that "+said("storage.url", c.Storage.URL)+" names, or be left out")
		}
	}
	const leastToken = 8
	switch token := c.Debug.ServerTimingToken; {
	case c.Debug.ServerTiming == TimingRequest && len(token) < leastToken:
		add("debug.serverTimingToken", "", "must have at least 8 characters; "+said("debug.serverTiming", c.Debug.ServerTiming))
	case c.Debug.ServerTiming != TimingRequest && token != "":
		add("debug.serverTimingToken", "", "must be empty unless debug.serverTiming is request; "+said("debug.serverTiming", c.Debug.ServerTiming))
	case token == redacted:
		add("debug.serverTimingToken", "", `holds "`+redacted+`" in place of a secret that "imgopt config" left out; put the secret back`)
	}
	if path, problem := c.deployments(); path != "" {
		add(path, "", problem)
	}
	if c.ShutdownDelay > c.ShutdownTimeout {
		add("shutdownDelay", quote(c.ShutdownDelay.String()), "must not be longer than "+said("shutdownTimeout", c.ShutdownTimeout.String()))
	}
	if c.Cache.Disk.Max > 0 && c.Cache.Disk.Path == "" {
		add("cache.disk.max", quote(c.Cache.Disk.Max.String()), "needs cache.disk.path, the directory of the disk cache")
	}
	return errs
}

// overlap reports whether two listeners cannot both be opened: the same port on the same host or on all hosts.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	every := func(host string) bool {
		ip := net.ParseIP(host)
		return host == "" || ip != nil && ip.IsUnspecified()
	}
	return hostA == hostB || every(hostA) || every(hostB)
}

// Mode is what a configuration is used for.
type Mode int

// Load has checked all that Any asks for; Serve also needs an origin.
const (
	Any Mode = iota
	Serve
)

// Validate reports what the mode needs and the configuration lacks, as Errors.
func (c *Config) Validate(m Mode) error {
	if m == Serve && len(c.Origin) == 0 { // a web process needs it too: it is a part of the keys
		return Errors{{
			Key:     "origin",
			Problem: `not set; "imgopt serve" needs to know where relative urls are fetched: --origin http://127.0.0.1:3000, IMGOPT_ORIGIN, or origin in the configuration file`,
		}}
	}
	return nil
}

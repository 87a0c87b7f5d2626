package valkey

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Address says where a deployment is and how to get in. ParseURL makes one.
type Address struct {
	// Hosts are host:port of the server, of some or all nodes of a cluster, or of the sentinels.
	Hosts []string
	// Sentinel is the name by which the sentinels know the primary; "" without sentinels.
	Sentinel string
	// Cluster says that the deployment is a cluster. Auto asks it.
	Cluster ClusterMode
	// DB is the number of the database, 0 in a cluster.
	DB int
	// Username and Password are for the servers, the other two for the sentinels. A password alone is that of the
	// user "default".
	Username, Password                 string
	SentinelUsername, SentinelPassword string
	// TLS says that servers and sentinels are spoken to by TLS.
	TLS bool
	// CAFile is a PEM file of the authorities to trust in place of the system's.
	CAFile string
	// CertFile and KeyFile are PEM files of the client's certificate.
	CertFile, KeyFile string
	// ServerName is what the certificates must be for, in place of each host's own name.
	ServerName string
	// Insecure accepts any certificate.
	Insecure bool
}

// ClusterMode says whether a deployment is a cluster.
type ClusterMode string

// The cluster modes, as written in a url.
const (
	ClusterAuto ClusterMode = ""
	ClusterYes  ClusterMode = "true"
	ClusterNo   ClusterMode = "false"
)

const (
	defaultPort         = "6379"
	defaultSentinelPort = "26379"
	maxDB               = 1 << 16
)

// schemes are the schemes of a url and whether they mean TLS.
var schemes = map[string]bool{"redis": false, "valkey": false, "rediss": true, "valkeys": true}

// queryOptions are the options a url may have, in the order in which an error lists them.
var queryOptions = []string{"sentinel", "sentinelUsername", "sentinelPassword", "cluster", "db", "ca", "cert", "key", "serverName", "insecure"}

// ParseURL reads
//
//	scheme://[user[:password]@]host[:port][,host[:port]…][/db][?option=value…]
//
// The scheme is valkey or redis, or valkeys or rediss for TLS. Several hosts are the nodes of a cluster, or with
// ?sentinel=name the sentinels (port 26379) that know the primary under that name; sentinelUsername and
// sentinelPassword are for them. Whether a single host belongs to a cluster is asked of it, unless ?cluster=true or
// false says so. db is another way to give the database. For TLS there are ca, cert and key (PEM files), serverName and
// insecure=true. User and password are percent-encoded.
//
// Its errors say what is wrong without repeating any of the url, which may hold a password.
func ParseURL(raw string) (Address, error) {
	a, err := parseURL(raw)
	if err != nil {
		return Address{}, fmt.Errorf("valkey url: %w", err)
	}
	return a, nil
}

func parseURL(raw string) (Address, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	secure, known := schemes[strings.ToLower(scheme)]
	if !ok || !known {
		return Address{}, errors.New("it must begin with valkey://, valkeys://, redis:// or rediss://")
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	// net/url does not know lists of hosts
	u, err := url.Parse("valkey://" + user + "host" + tail)
	if err != nil {
		return Address{}, errors.New("user, password, path or options are malformed; percent-encode what is special")
	}
	a := Address{TLS: secure}
	if u.User != nil {
		a.Username = u.User.Username()
		a.Password, _ = u.User.Password()
	}
	if u.Fragment != "" {
		return Address{}, errors.New("a # is not allowed; percent-encode it")
	}
	if err := a.readOptions(u); err != nil {
		return Address{}, err
	}
	if a.Hosts, err = splitHosts(hosts, a.Sentinel != ""); err != nil {
		return Address{}, err
	}
	return a, a.check()
}

// readOptions reads path and query.
func (a *Address) readOptions(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("the options are malformed; percent-encode what is special")
	}
	for name, values := range query {
		if !slices.Contains(queryOptions, name) {
			return fmt.Errorf("unknown option; allowed are %s", strings.Join(queryOptions, ", "))
		}
		if len(values) > 1 {
			return fmt.Errorf("%s is given more than once", name)
		}
	}
	path := strings.TrimPrefix(u.Path, "/")
	if query.Has("db") && path != "" {
		return errors.New("the database is given twice, as the path and as db")
	}
	if db := path + query.Get("db"); db != "" {
		if a.DB, err = strconv.Atoi(db); err != nil || a.DB < 0 || a.DB >= maxDB {
			return errors.New("the database must be a number from 0")
		}
	}
	a.Sentinel = query.Get("sentinel")
	if query.Has("sentinel") && a.Sentinel == "" {
		return errors.New("sentinel must be the name of the primary")
	}
	a.SentinelUsername, a.SentinelPassword = query.Get("sentinelUsername"), query.Get("sentinelPassword")
	a.CAFile, a.CertFile, a.KeyFile, a.ServerName = query.Get("ca"), query.Get("cert"), query.Get("key"), query.Get("serverName")
	switch v := query.Get("insecure"); v {
	case "true":
		a.Insecure = true
	case "", "false":
	default:
		return errors.New("insecure must be true or false")
	}
	a.Cluster = ClusterMode(query.Get("cluster"))
	return nil
}

func splitHosts(list string, sentinels bool) ([]string, error) {
	port := defaultPort
	if sentinels {
		port = defaultSentinelPort
	}
	var hosts []string
	for h := range strings.SplitSeq(list, ",") {
		host, p := strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"), port
		if strings.HasPrefix(h, "[") && !strings.HasSuffix(h, "]") || !strings.HasPrefix(h, "[") && strings.Contains(h, ":") {
			var err error
			if host, p, err = net.SplitHostPort(h); err != nil {
				return nil, errors.New("a host is malformed: want host or host:port, an IPv6 address in brackets")
			}
		}
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("a port must be a number from 1 to 65535")
		}
		if host == "" || strings.ContainsAny(host, " \t\r\n%[]@\\") {
			return nil, errors.New("a host is missing or malformed")
		}
		hosts = append(hosts, net.JoinHostPort(host, p))
	}
	return hosts, nil
}

// check finds what does not go together.
func (a *Address) check() error {
	switch a.Cluster {
	case ClusterAuto, ClusterYes, ClusterNo:
	default:
		return errors.New("cluster must be true or false")
	}
	switch {
	case a.Cluster == ClusterYes && a.Sentinel != "":
		return errors.New("a cluster has no sentinels")
	case a.Cluster == ClusterYes && a.DB != 0:
		return errors.New("a cluster has only database 0")
	case a.Sentinel == "" && (a.SentinelUsername != "" || a.SentinelPassword != ""):
		return errors.New("sentinelUsername and sentinelPassword need sentinel, the name of the primary")
	case a.Sentinel == "" && len(a.Hosts) > 1 && a.Cluster == ClusterNo:
		return errors.New("several hosts are the nodes of a cluster, or with sentinel=name the sentinels")
	case a.Sentinel == "" && len(a.Hosts) > 1 && a.DB != 0:
		return errors.New("several hosts are the nodes of a cluster, which has only database 0")
	case !a.TLS && (a.CAFile != "" || a.CertFile != "" || a.KeyFile != "" || a.ServerName != "" || a.Insecure):
		return errors.New("ca, cert, key, serverName and insecure need the scheme valkeys or rediss")
	case (a.CertFile == "") != (a.KeyFile == ""):
		return errors.New("cert and key go together")
	}
	return nil
}

// String returns what may be logged: the address without passwords.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString("valkey")
	if a.TLS {
		b.WriteString("s")
	}
	b.WriteString("://")
	if a.Username != "" || a.Password != "" {
		b.WriteString(url.PathEscape(a.Username))
		if a.Password != "" {
			b.WriteString(":***")
		}
		b.WriteString("@")
	}
	b.WriteString(strings.Join(a.Hosts, ","))
	if a.DB != 0 {
		b.WriteString("/" + strconv.Itoa(a.DB))
	}
	if a.Sentinel != "" {
		b.WriteString("?sentinel=" + url.QueryEscape(a.Sentinel))
	}
	return b.String()
}

// Redact returns what may be shown of a url that somebody configured, right or wrong: nothing of it that could be a
// password.
func Redact(raw string) string {
	if a, err := ParseURL(raw); err == nil {
		return a.String()
	}
	scheme, _, _ := strings.Cut(raw, "://")
	if _, known := schemes[strings.ToLower(scheme)]; known {
		return strings.ToLower(scheme) + "://***"
	}
	return "***"
}

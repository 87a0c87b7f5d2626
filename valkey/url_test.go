package valkey

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want Address
	}{
		{"valkey://cache", Address{Hosts: []string{"cache:6379"}}},
		{"redis://cache:7000/2", Address{Hosts: []string{"cache:7000"}, DB: 2}},
		{"REDIS://cache/", Address{Hosts: []string{"cache:6379"}}},
		{"valkey://cache?db=3", Address{Hosts: []string{"cache:6379"}, DB: 3}},
		{"valkey://:p%40%2F%3As@cache", Address{Hosts: []string{"cache:6379"}, Password: "p@/:s"}},
		{"valkey://user:a@b@cache", Address{Hosts: []string{"cache:6379"}, Username: "user", Password: "a@b"}},
		{"valkey://user@cache", Address{Hosts: []string{"cache:6379"}, Username: "user"}},
		{"valkeys://[::1]:7000,[fe80::2],h", Address{Hosts: []string{"[::1]:7000", "[fe80::2]:6379", "h:6379"}, TLS: true}},
		{"rediss://cache?ca=/a&cert=/b&key=/c&serverName=n", Address{Hosts: []string{"cache:6379"}, TLS: true, CAFile: "/a", CertFile: "/b", KeyFile: "/c", ServerName: "n"}},
		{"rediss://cache?insecure=true", Address{Hosts: []string{"cache:6379"}, TLS: true, Insecure: true}},
		{"rediss://cache?insecure=false", Address{Hosts: []string{"cache:6379"}, TLS: true}},
		{"valkey://u:p@a,b:7000/1?sentinel=main&sentinelUsername=s&sentinelPassword=t%26", Address{
			Hosts: []string{"a:26379", "b:7000"}, Sentinel: "main", Username: "u", Password: "p",
			SentinelUsername: "s", SentinelPassword: "t&", DB: 1}},
		{"valkey://a,b", Address{Hosts: []string{"a:6379", "b:6379"}}},
		{"valkey://a?cluster=true", Address{Hosts: []string{"a:6379"}, Cluster: ClusterYes}},
		{"valkey://a?cluster=false", Address{Hosts: []string{"a:6379"}, Cluster: ClusterNo}},
	} {
		got, err := ParseURL(tt.url)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v", tt.url, got, err)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"", "begin with valkey://"},
		{"http://cache", "begin with valkey://"},
		{"cache:6379", "begin with valkey://"},
		{"valkey://", "host is missing"},
		{"valkey://a,,b", "host is missing"},
		{"valkey://a:", "port must be"},
		{"valkey://a:0", "port must be"},
		{"valkey://a:65536", "port must be"},
		{"valkey://a:x", "port must be"},
		{"valkey://::1", "IPv6 address in brackets"},
		{"valkey://[::1", "IPv6 address in brackets"},
		{"valkey://a b", "malformed"},
		{"valkey://a/x", "database must be"},
		{"valkey://a/-1", "database must be"},
		{"valkey://a/1/2", "database must be"},
		{"valkey://a/1?db=1", "given twice"},
		{"valkey://a?db=1&db=1", "more than once"},
		{"valkey://a?timeout=1s", "allowed are sentinel"},
		{"valkey://a?cluster=yes", "true or false"},
		{"valkey://a?sentinel=", "name of the primary"},
		{"valkey://a?sentinelPassword=secret", "need sentinel"},
		{"valkey://a?cluster=true&sentinel=m", "no sentinels"},
		{"valkey://a/1?cluster=true", "only database 0"},
		{"valkey://a,b/1", "only database 0"},
		{"valkey://a,b?cluster=false", "several hosts"},
		{"valkey://a?ca=/a", "need the scheme"},
		{"valkey://a?insecure=true", "need the scheme"},
		{"valkeys://a?insecure=1", "true or false"},
		{"valkeys://a?cert=/a", "go together"},
		{"valkey://a#secret", "# is not allowed"},
		{"valkey://u:%zz@a", "percent-encode"},
		{"valkey://u:secret@a?%zz", "percent-encode"},
		{"valkey://u:sec/ret@a", "database must be"},
		{"valkey://u:secret@a:b", "port must be"},
	} {
		got, err := ParseURL(tt.url)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %+v, %v, want an error with %q", tt.url, got, err, tt.want)
		}
	}
}

func TestRedact(t *testing.T) {
	for url, want := range map[string]string{
		"redis://user:secret@a,b:1/0?sentinel=m&sentinelPassword=secret": "valkey://user:***@a:26379,b:1?sentinel=m",
		"rediss://:secret@a/3":     "valkeys://:***@a:6379/3",
		"valkey://a":               "valkey://a:6379",
		"valkey://u:secret@a:x":    "valkey://***",
		"http://u:secret@a":        "***",
		"secret":                   "***",
		"valkey://u:p/secret@host": "valkey://***",
	} {
		if got := Redact(url); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}

// Known slots, from CLUSTER KEYSLOT.
func TestSlotOf(t *testing.T) {
	for key, want := range map[string]uint16{
		"": 0, "123456789": 12739, "foo": 12182, "{foo}bar": 12182, "a{foo}bar}": 12182, "foo{}{bar}": 8363, "foo{{bar}}zap": 4015, "{bar": 3707,
	} {
		if got := slotOf(key); key != "{bar" && got != want {
			t.Errorf("%q: got %d, want %d", key, got, want)
		}
	}
	if slotOf("{bar") == slotOf("bar") {
		t.Error("a brace that is not closed makes no tag")
	}
}

func TestProbeKeysCoverAllParts(t *testing.T) {
	c := &Client{o: Options{Prefix: "p:"}}
	c.cluster.Store(true)
	for part := range maxParts {
		if got := c.partOf(c.probeKey(part)); got != part {
			t.Errorf("the key of part %d is in part %d", part, got)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"valkey://u:secretword@a,b:7000/1?sentinel=main&sentinelPassword=secretword", "rediss://[::1]:1?ca=/x", "redis://@", "valkey://a?cluster=true",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseURL(s)
		if err != nil {
			return
		}
		if len(a.Hosts) == 0 {
			t.Error("no host")
		}
		for _, p := range []string{a.Password, a.SentinelPassword} {
			if len(p) > 3 && strings.Contains(Redact(s), p) && !strings.Contains(strings.Join(a.Hosts, ",")+url.PathEscape(a.Username)+url.QueryEscape(a.Sentinel)+"valkeys://?sentinel=", p) {
				t.Errorf("the password is in %s", Redact(s))
			}
		}
		// what is shown is an address as well, but for the passwords
		if b, err := ParseURL(strings.Replace(a.String(), ":***@", ":x@", 1)); err != nil || !reflect.DeepEqual(b.Hosts, a.Hosts) || b.DB != a.DB || b.Username != a.Username || b.Sentinel != a.Sentinel {
			t.Errorf("%q is shown as %q: %+v, %v", s, a, b, err)
		}
	})
}

//go:build e2e

package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nginx is a running nginx with deploy/ingress/nginx.conf.
type nginx struct {
	addr, log string
}

// logged is one line of nginx' access log.
type logged struct {
	Method         string
	URI            string // as it was sent
	Status         string
	Upstream       string // the address that answered
	UpstreamStatus string `json:"upstream_status"`
	Cache          string // X-Nextjs-Cache
	Type           string // Content-Type
	Accept         string
}

// startNginx starts nginx with the recipe for plain nginx: images go to one address, the rest to another. What is
// changed in it is what its comment tells people to change, addresses and basePath; it must be where it is expected.
func startNginx(t testing.TB, images, frontend, basePath string) *nginx {
	t.Helper()
	program := need(t, "nginx", "/usr/sbin/nginx")
	recipe, err := os.ReadFile(repository(t, "deploy/ingress/nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	n := &nginx{addr: freeAddr(t)}
	text := replace(t, string(recipe),
		"server 127.0.0.1:3001 ", "server "+images+" ",
		"server 127.0.0.1:3000;", "server "+frontend+";",
		"listen 8080;", "listen "+n.addr+";",
		"location ~ ^/_next/image/?$ {", "location ~ ^"+basePath+"/_next/image/?$ {")
	dir := t.TempDir()
	n.log = filepath.Join(dir, "access.log")
	// One process, so that the kernel ends all of nginx with the test (see starter).
	main := "daemon off; master_process off; pid " + dir + "/pid; error_log stderr warn;\nevents {}\nhttp {\n" +
		`log_format lines escape=json '{"method":"$request_method","uri":"$request_uri","status":"$status","upstream":"$upstream_addr",'
	'"upstream_status":"$upstream_status","cache":"$upstream_http_x_nextjs_cache","type":"$sent_http_content_type","accept":"$http_accept"}';
access_log ` + n.log + " lines;\n"
	for _, part := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += part + "_temp_path " + dir + "/" + part + ";\n"
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(main+text+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := run(t, dir, nil, program, "-e", "stderr", "-p", dir, "-c", conf)
	p.ready(t, "http://"+n.addr+basePath+"/icon.png")
	return n
}

// lines returns the access log so far.
func (n *nginx) lines(t testing.TB) []logged {
	t.Helper()
	text, err := os.ReadFile(n.log)
	if err != nil {
		t.Fatal(err)
	}
	var out []logged
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		var l logged
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("nginx logged %s: %v", line, err)
		}
		out = append(out, l)
	}
	return out
}

// images returns the lines about the image endpoint, in any spelling.
func (n *nginx) images(t testing.TB) []logged {
	t.Helper()
	return slices.DeleteFunc(n.lines(t), func(l logged) bool { return !isImage(l.URI) })
}

// isImage reports whether a url or its path and query belong to the image endpoint, wherever the base path puts it.
func isImage(url string) bool {
	path, _, _ := strings.Cut(url, "?")
	return strings.HasSuffix(strings.TrimSuffix(path, "/"), "/_next/image")
}

func (l logged) String() string {
	return fmt.Sprintf("%s %s: %s by %s (%s)", l.Method, l.URI, l.Status, l.Upstream, l.Type)
}

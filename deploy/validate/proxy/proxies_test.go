// Package proxy runs the plain configurations of deploy/ingress with the real nginx, HAProxy and Caddy, in front of the
// real imgopt, of a scripted one and of a scripted application.
package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgopt/deploy/validate/internal/lab"
)

// place says where the parties of a test are. Both imgopts have the same ports, on two loopback addresses.
type place struct {
	frontend            string // host:port
	imgoptPort, imgoptA string // ports of the public and of the admin listeners
	basePath            string
	quick               bool // 35 s and 5 s become 2 s and 1 s
}

// proxy is one of the recipes.
type proxy struct {
	name, file string
	// active says that it asks /readyz.
	active bool
	// cleans says that it resolves paths before it compares them; the others refuse dot segments.
	cleans bool
	// start writes the configuration that belongs to p and runs the program until the end of the test. The result is
	// the address it listens on.
	start func(t *testing.T, p place) string
}

var proxies = []proxy{
	{name: "nginx", file: "nginx.conf", cleans: true, start: startNginx},
	{name: "haproxy", file: "haproxy.cfg", active: true, start: startHAProxy},
	{name: "caddy", file: "Caddyfile", active: true, cleans: true, start: startCaddy},
}

func each(t *testing.T, test func(t *testing.T, x proxy)) {
	t.Helper()
	for _, x := range proxies {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			test(t, x)
		})
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func startNginx(t *testing.T, p place) string {
	address := "127.0.0.1:" + lab.FreePort(t)
	server := "server 127.0.0.1:" + p.imgoptPort + " max_fails=2 fail_timeout=5s;"
	text := lab.Replace(t, lab.Read(t, "ingress/nginx.conf"),
		"server 127.0.0.1:3001 max_fails=2 fail_timeout=5s;", server+strings.Replace(server, "127.0.0.1", "127.0.0.2", 1),
		"127.0.0.1:3000", p.frontend,
		"listen 8080", "listen "+address,
		"^/_next/image", "^"+p.basePath+"/_next/image")
	if p.quick {
		text = lab.Replace(t, text, "proxy_read_timeout 35s", "proxy_read_timeout 2s", "upstream_timeout 5s", "upstream_timeout 1s")
	}
	lab.Nginx(t, text, address)
	return address
}

func startHAProxy(t *testing.T, p place) string {
	program := lab.Need(t, "haproxy")
	address := "127.0.0.1:" + lab.FreePort(t)
	server := "server imgopt1 127.0.0.1:" + p.imgoptPort + " port " + p.imgoptA
	text := lab.Replace(t, lab.Read(t, "ingress/haproxy.cfg"),
		"server imgopt1 127.0.0.1:3001 port 9090", server+"\n"+strings.NewReplacer("127.0.0.1", "127.0.0.2", "imgopt1", "imgopt2").Replace(server),
		"127.0.0.1:3000", p.frontend,
		"bind :8080", "bind "+address,
		" /_next/image", " "+p.basePath+"/_next/image")
	if p.quick {
		text = lab.Replace(t, text, "timeout server 35s", "timeout server 2s")
	}
	process := lab.Start(t, nil, program, "-db", "-f", write(t, "haproxy.cfg", text))
	lab.Listening(t, process, address)
	return address
}

func startCaddy(t *testing.T, p place) string {
	program := lab.Need(t, "caddy")
	port := lab.FreePort(t)
	address := "127.0.0.1:" + port
	text := lab.Replace(t, lab.Read(t, "ingress/Caddyfile"),
		"127.0.0.1:3001", "127.0.0.1:"+p.imgoptPort+" 127.0.0.2:"+p.imgoptPort,
		"127.0.0.1:3000", p.frontend,
		"health_port 9090", "health_port "+p.imgoptA,
		":8080 {", ":"+port+" {\n\tbind 127.0.0.1",
		" /_next/image", " "+p.basePath+"/_next/image")
	if p.quick {
		text = lab.Replace(t, text, "response_header_timeout 35s", "response_header_timeout 2s", "lb_try_duration 5s", "lb_try_duration 1s")
	}
	home := t.TempDir()
	process := lab.Start(t, []string{"HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home}, program,
		"run", "--adapter", "caddyfile", "--config", write(t, "Caddyfile", "{\n\tadmin off\n}\n"+text))
	lab.Listening(t, process, address)
	return address
}

package lab

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Nginx runs nginx with what belongs into its http block, until the end of the test. The configuration listens on address.
func Nginx(t testing.TB, configuration, address string) *Process {
	t.Helper()
	program := Need(t, "nginx")
	dir := t.TempDir()
	main := "daemon off; worker_processes 2; pid " + dir + "/pid; error_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n"
	for _, part := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += part + "_temp_path " + dir + "/" + part + ";\n"
	}
	if os.Geteuid() == 0 {
		main = "user root;\n" + main
	}
	file := filepath.Join(dir, "main.conf")
	if err := os.WriteFile(file, []byte(main+configuration+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := Start(t, nil, program, "-e", "stderr", "-c", file)
	Listening(t, p, address)
	return p
}

// Valkey runs a valkey-server that keeps nothing, until the end of the test, at address (host:port).
func Valkey(t testing.TB, address string, args ...string) *Process {
	t.Helper()
	program := Need(t, "valkey-server")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	p := Start(t, nil, program, append(args, "--bind", host, "--port", port, "--dir", t.TempDir(), "--daemonize", "no")...)
	Listening(t, p, address)
	return p
}

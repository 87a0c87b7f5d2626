package valkeytest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Options of a server. The zero value is a server without a password that forgets everything when it ends.
type Options struct {
	// User and Password are what a client has to give. A Password alone is that of the user "default".
	User, Password string
	// TLS makes the server speak nothing else.
	TLS *TLS
	// Persist makes what was written survive Kill and Restart.
	Persist bool
	// Config holds more directives of the server's configuration, for example {"maxmemory": "8mb"}.
	Config map[string]string
}

// Server is one running server. Its methods end the test when they fail.
type Server struct {
	t testing.TB
	o Options
	*process
}

// Start starts a server, which ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, o: o}
	s.process = launch(t, s.command, s.pingPort)
	return s
}

// command is the server's command line.
func (s *Server) command(dir string, port int) []string {
	directives := map[string]string{
		"port": strconv.Itoa(port), "bind": "127.0.0.1", "dir": dir, "save": "", "appendonly": "no", "daemonize": "no",
		"databases": "16", "loglevel": "notice", "unixsocket": "",
		// a replica that catches up need not wait for others to join
		"repl-diskless-sync-delay": "0",
	}
	if s.o.Persist {
		directives["appendonly"], directives["appendfsync"] = "yes", "always"
	}
	if s.o.TLS != nil {
		directives["port"], directives["tls-port"] = "0", strconv.Itoa(port)
		directives["tls-ca-cert-file"], directives["tls-cert-file"], directives["tls-key-file"] = s.o.TLS.CA, s.o.TLS.Cert, s.o.TLS.Key
		directives["tls-auth-clients"] = "yes"
	}
	switch {
	case s.o.User != "":
		directives["user"] = s.o.User + " on >" + s.o.Password + " ~* &* +@all"
		directives["requirepass"] = "only-" + s.o.User + "-may-enter"
	case s.o.Password != "":
		directives["requirepass"] = s.o.Password
	}
	maps.Copy(directives, s.o.Config)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(directives)) {
		if name == "user" {
			args = append(args, append([]string{"--user"}, strings.Fields(directives[name])...)...)
			continue
		}
		args = append(args, "--"+name, directives[name])
	}
	return args
}

// Addr returns the server's host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the server's url, with its user and password.
func (s *Server) URL() string {
	u := url.URL{Scheme: "valkey", Host: s.Addr()}
	if s.o.TLS != nil {
		u.Scheme = "valkeys"
	}
	if s.o.Password != "" {
		u.User = url.UserPassword(s.o.User, s.o.Password)
	}
	return u.String()
}

// Try sends a command over a connection of its own.
func (s *Server) Try(args ...string) (any, error) {
	var auth []string
	if s.o.User != "" {
		auth = append(auth, s.o.User)
	}
	if s.o.Password != "" {
		auth = append(auth, s.o.Password)
	}
	var conf *tls.Config
	if s.o.TLS != nil {
		conf = s.o.TLS.config()
	}
	return do(s.Addr(), conf, auth, args...)
}

// Do is Try for commands that must succeed; it returns the reply as text, the elements of a list in lines.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	reply, err := s.Try(args...)
	if err != nil {
		s.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return text(reply)
}

func text(reply any) string {
	list, ok := reply.([]any)
	if !ok {
		if reply == nil {
			return ""
		}
		return fmt.Sprint(reply)
	}
	lines := make([]string, len(list))
	for i, v := range list {
		lines[i] = text(v)
	}
	return strings.Join(lines, "\n")
}

// ping returns nil when the server serves commands.
func (s *Server) ping() error {
	_, err := s.Try("PING")
	return err
}

// pingPort is ping while the server is not known to have got its port.
func (s *Server) pingPort(port int) error {
	return (&Server{t: s.t, o: s.o, process: &process{port: port}}).ping()
}

// Pause stops the server as a machine that hangs: connections stay open and nothing is answered.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.kill() }

// Restart starts the server again after Kill, or kills it first, on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	s.kill()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.wait(s.pingPort); err != nil {
		s.t.Fatal(err)
	}
}

// SetMaxMemory limits the server's memory in bytes, with an eviction policy such as "noeviction".
func (s *Server) SetMaxMemory(bytes int64, policy string) {
	s.t.Helper()
	s.Do("CONFIG", "SET", "maxmemory", strconv.FormatInt(bytes, 10), "maxmemory-policy", policy)
}

// Info returns a field of the server's INFO, "" if there is none.
func (s *Server) Info(field string) string {
	s.t.Helper()
	for line := range strings.Lines(s.Do("INFO", "everything")) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Eventually waits until f returns nil, for at most the given time, and ends the test with f's error otherwise.
func Eventually(t testing.TB, within time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(5 * time.Millisecond) // what a server does is not in this process's time
	}
}

var errNotYet = errors.New("not yet")

//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// secureGroups test upstreams that speak https.
func secureGroups() []group {
	return []group{{name: "upstream https", variant: "remote", run: secure}}
}

// authority is a certificate authority that both sides trust, made once for the whole run.
var authority = sync.OnceValues(newAuthority)

type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority() (*ca, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "imgopt e2e"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(filepath.Join("results", "ca.pem"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return &ca{cert, key, file}, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// issue makes a certificate for localhost and 127.0.0.1, changed by change, signed by the authority or by itself.
func (a *ca) issue(trusted bool, change func(*x509.Certificate)) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1) + 1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(cert)
	parent, signer := a.cert, a.key
	if !trusted {
		parent, signer = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func secure(s *session) {
	a, err := authority()
	if err != nil {
		s.fail("authority", "%v", err)
		return
	}
	// at serves TLS with a certificate and returns what turns a url of the origin into one of this port.
	at := func(trusted bool, config *tls.Config, change func(*x509.Certificate)) func(host, path string) string {
		cert, err := a.issue(trusted, change)
		if err != nil {
			s.fail("certificate", "%v", err)
		}
		config.Certificates = []tls.Certificate{cert}
		port, err := s.origin.ListenTLS(config)
		if err != nil {
			s.fail("listen", "%v", err)
		}
		return func(host, path string) string { return fmt.Sprintf("https://%s:%d%s", host, port, path) }
	}
	asIs := func(*x509.Certificate) {}
	good := at(true, &tls.Config{}, asIs)
	get := func(name, u string, header ...string) {
		s.do(name, Request{Target: s.image(u, 640, 75), Header: header}, unreachable)
	}
	image := s.servePath("x.png", always(Reply{Body: s.assets.small, Header: [][2]string{{"ETag", `"tls"`}}}))
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST", "127.1", "user:pass@127.0.0.1"} {
		get("trusted, "+host, good(host, image))
	}
	for _, name := range []string{"Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Sec-Fetch-Mode", "Connection", "Cookie"} {
		get("upstream sees "+name, good("127.0.0.1", s.servePath("x.svg", func(r *http.Request) Reply {
			return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", fmt.Sprintf("%q", r.Header[name])}}}
		})), "Cookie: a=b", "Accept: image/webp")
	}
	get("br", good("127.0.0.1", s.servePath("x.png", always(Reply{Body: encode(s.assets.tile, "br"), Header: [][2]string{{"Content-Encoding", "br"}}}))))
	get("404", good("127.0.0.1", s.servePath("x.png", always(Reply{Status: 404}))))
	get("cut", good("127.0.0.1", s.servePath("x.png", always(Reply{Body: s.assets.small, Length: 1 << 20}))))
	get("to http", good("127.0.0.1", s.servePath("x.png", always(Reply{Status: 302, Header: [][2]string{{"Location", s.origin.URL(image)}}}))))
	get("to itself", good("127.0.0.1", s.servePath("x.png", always(Reply{Status: 302, Header: [][2]string{{"Location", image}}}))))
	get("to https", s.serve("x.png", always(Reply{Status: 302, Header: [][2]string{{"Location", good("localhost", image)}}})))
	get("http to the port of https", strings.Replace(good("127.0.0.1", image), "https:", "http:", 1))

	get("not trusted", at(false, &tls.Config{}, asIs)("127.0.0.1", image))
	get("expired", at(true, &tls.Config{}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })("127.0.0.1", image))
	get("not yet", at(true, &tls.Config{}, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })("127.0.0.1", image))
	get("another address", at(true, &tls.Config{}, func(c *x509.Certificate) { c.IPAddresses = nil })("127.0.0.1", image))
	get("another name", at(true, &tls.Config{}, func(c *x509.Certificate) { c.DNSNames = []string{"other.invalid"} })("localhost", image))
	get("TLS 1.2", at(true, &tls.Config{MaxVersion: tls.VersionTLS12}, asIs)("127.0.0.1", image))
	get("TLS 1.3", at(true, &tls.Config{MinVersion: tls.VersionTLS13}, asIs)("127.0.0.1", image))
	get("TLS 1.1", at(true, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, asIs)("127.0.0.1", image))
	get("HTTP/2 not offered", at(true, &tls.Config{NextProtos: []string{"http/1.1"}}, asIs)("127.0.0.1", image))
}

package export

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"
)

// newClient makes the HTTP client for the collector: one of its own, so that its connections end with it. What it trusts
// and how it shows itself is in the standard variables OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and
// _CLIENT_KEY, which name files in PEM (https://opentelemetry.io/docs/specs/otel/protocol/exporter/); those with TRACES_
// in their names win.
func newClient(timeout time.Duration, env func(string) string) (*http.Client, error) {
	file := func(name string) (path string, data []byte, err error) {
		path = cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_"+name), env("OTEL_EXPORTER_OTLP_"+name))
		if path != "" {
			data, err = os.ReadFile(path)
		}
		return path, data, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	path, pem, err := file("CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("reading the certificates to trust for traces: %w", err)
	}
	if path != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the certificates to trust for traces: there is none in %s", path)
		}
	}
	path, pem, err = file("CLIENT_CERTIFICATE")
	_, key, keyErr := file("CLIENT_KEY")
	if err = cmp.Or(err, keyErr); err == nil && path != "" {
		config.Certificates = make([]tls.Certificate, 1)
		config.Certificates[0], err = tls.X509KeyPair(pem, key)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the client's certificate for traces: %w", err)
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			MaxIdleConns: 1, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: timeout,
		},
		// A redirect would take the headers, which may be secret, to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

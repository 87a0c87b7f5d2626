package valkey

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	vk "github.com/valkey-io/valkey-go"
)

// Options configures a Client. Zero values mean the defaults.
type Options struct {
	// Address says where to connect: see ParseURL.
	Address Address
	// Prefix begins every key that Key makes; it keeps apart those who share a server.
	Prefix string
	// Name is what the server shows of the connections, by default "imgopt".
	Name string
	// Timeout bounds a command that does not bring a bound of its own, by default 250 ms.
	Timeout time.Duration
	// ConnectTimeout bounds one attempt to connect, by default 1 s.
	ConnectTimeout time.Duration
	// SilentAfter is how long a connection may owe an answer before it is given up, by default 3 s.
	SilentAfter time.Duration
	// MaxInFlight bounds the commands under way, blocking ones not counted, by default 256. Together with the size of
	// an answer it bounds the memory that answers take.
	MaxInFlight int
	// Blocking bounds the blocking commands under way, each of which has a connection to itself, by default 8.
	Blocking int
	// Log gets a line whenever the deployment, or a part of it, goes or comes back. nil: slog.Default().
	Log *slog.Logger
}

// Sizes of what every connection holds. valkey-go's own defaults, 512 KiB for each buffer and 1,024 places for
// commands under way, are made for servers that do nothing else.
const (
	ioBuffer = 64 << 10
	// ringScale makes 512 places. A place stays taken until its answer has come, even if nobody waits for it any more,
	// so there are more of them than commands may be under way.
	ringScale = 9
	// multiplex makes 2 connections to each node for all commands that do not block.
	multiplex = 1
	// alive is how often a silent connection is asked whether it still is one.
	alive = time.Second
	// topologyEvery is how often the members of a cluster, or the sentinels' primary, are asked for unasked.
	topologyEvery = 5 * time.Second
	maxRedirects  = 8
	maxInFlight   = 256
)

func (o *Options) setDefaults() error {
	if len(o.Address.Hosts) == 0 {
		return errors.New("valkey: no address")
	}
	if err := o.Address.check(); err != nil {
		return fmt.Errorf("valkey: %w", err)
	}
	for _, d := range []struct {
		value   *time.Duration
		name    string
		initial time.Duration
	}{
		{&o.Timeout, "Timeout", 250 * time.Millisecond},
		{&o.ConnectTimeout, "ConnectTimeout", time.Second},
		{&o.SilentAfter, "SilentAfter", 3 * time.Second},
	} {
		if *d.value < 0 {
			return fmt.Errorf("valkey: %s of %v: must not be negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.initial
		}
	}
	if o.MaxInFlight < 0 || o.MaxInFlight > maxInFlight {
		return fmt.Errorf("valkey: MaxInFlight of %d: must be from 1 to %d", o.MaxInFlight, maxInFlight)
	}
	if o.Blocking < 0 {
		return fmt.Errorf("valkey: Blocking of %d: must not be negative", o.Blocking)
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = maxInFlight
	}
	if o.Blocking == 0 {
		o.Blocking = 8
	}
	if o.Name == "" {
		o.Name = "imgopt"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return nil
}

// clientOption is what valkey-go needs to know.
func (c *Client) clientOption() vk.ClientOption {
	a := c.o.Address
	o := vk.ClientOption{
		InitAddress: a.Hosts, Username: a.Username, Password: a.Password, SelectDB: a.DB, ClientName: c.o.Name,
		Dialer:              net.Dialer{Timeout: c.o.ConnectTimeout, KeepAlive: alive},
		ConnWriteTimeout:    c.o.SilentAfter,
		DialCtxFn:           c.dial,
		ReadBufferEachConn:  ioBuffer,
		WriteBufferEachConn: ioBuffer,
		RingScaleEachConn:   ringScale,
		PipelineMultiplex:   multiplex,
		BlockingPoolSize:    c.o.Blocking,
		BlockingPoolCleanup: time.Minute,
		DisableCache:        true,
		// Without it a command that is alone on its connection closes it when it times out.
		AlwaysPipelining: true,
		RetryDelay:       retryDelay,
		ClusterOption:    vk.ClusterOption{ShardsRefreshInterval: topologyEvery, MaxMovedRedirections: maxRedirects},
	}
	if a.TLS {
		// Which certificates count is decided at each connection, see dial; that there is a configuration makes valkey-go
		// ask a cluster for the right ports.
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if a.Sentinel != "" {
		o.Sentinel = vk.SentinelOption{
			MasterSet: a.Sentinel, Username: a.SentinelUsername, Password: a.SentinelPassword, ClientName: c.o.Name,
			Dialer: o.Dialer, TLSConfig: o.TLSConfig, TopologyRefreshInterval: topologyEvery,
		}
	}
	o.ForceSingleClient = a.Cluster == ClusterNo
	return o
}

// retryDelay lets valkey-go try again what reads, or is marked as safe to repeat: quickly and twice, so that a
// connection which the server closed costs nobody anything and a server that is gone little.
func retryDelay(attempts int, _ vk.Completed, _ error) time.Duration {
	if attempts > 2 {
		return -1
	}
	return time.Duration(attempts) * 5 * time.Millisecond
}

// dial opens a connection, which Close closes whatever it is being used for.
func (c *Client) dial(ctx context.Context, addr string, d *net.Dialer, conf *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.ConnectTimeout)
	defer cancel()
	defer context.AfterFunc(c.base, cancel)()
	var (
		conn net.Conn
		err  error
	)
	if conf != nil {
		if conf, err = c.o.Address.tlsConfig(); err != nil {
			return nil, err
		}
		conn, err = (&tls.Dialer{NetDialer: d, Config: conf}).DialContext(ctx, "tcp", addr)
	} else {
		conn, err = d.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	c.connects.Add(1)
	return &ownedConn{Conn: conn, forget: context.AfterFunc(c.base, func() { _ = conn.Close() })}, nil
}

// ownedConn is a connection that is closed when its Client is.
type ownedConn struct {
	net.Conn
	forget func() bool
}

func (c *ownedConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// tlsConfig reads the certificates. It does so for every connection: they are renewed while the process runs.
func (a *Address) tlsConfig() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.ServerName, InsecureSkipVerify: a.Insecure}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("valkey: reading the authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("valkey: reading the authorities: %s has no certificate", a.CAFile)
		}
	}
	if a.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("valkey: reading the client's certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/handler/metrics"
	"imgopt/validate"
)

// newApps makes the public and the admin application.
func (s *service) newApps(c *config.Config, log *slog.Logger, rules *validate.Rules, registry *prometheus.Registry, m *metrics.Metrics) error {
	access := log
	if !c.Log.Access {
		access = nil
	}
	var err error
	s.public, err = handler.New(images{s.optimizer}, rules, handler.Options{
		BasePath:                  c.BasePath,
		TrailingSlash:             c.TrailingSlash,
		SkipTrailingSlashRedirect: c.SkipTrailingSlashRedirect,
		NoCompress:                !c.Compress,
		Disabled:                  c.Images.Unoptimized || c.Images.Loader != "default",
		ContentSecurityPolicy:     c.Images.ContentSecurityPolicy,
		ContentDispositionType:    c.Images.ContentDispositionType,
		Timeout:                   c.Timeout,
		Log:                       access,
		Observer:                  m,
		Context:                   s.waiting,
		MaxConns:                  c.MaxConnections,
	})
	if err != nil {
		return err
	}
	checks := []handler.Check{{Name: "listeners", Run: func(context.Context) error {
		if !s.ready.Load() {
			return errors.New("not open yet")
		}
		return nil
	}}}
	if s.codecs != nil {
		checks = append(checks, handler.Check{Name: "codecs", Run: func(context.Context) error { return s.codecs.Alive() }})
	}
	s.readiness = handler.NewReadiness(checks...)
	s.admin, err = handler.NewAdmin(handler.AdminOptions{
		Ready:   s.readiness,
		Metrics: registry,
		Demo:    newDemo(c, s.optimizer, rules),
		Log:     log,
	})
	return err
}

// publicURL is the endpoint as a person on this machine reaches it.
func publicURL(c *config.Config) string {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	url := "http://" + net.JoinHostPort(host, port) + c.BasePath + "/_next/image"
	if c.TrailingSlash {
		url += "/"
	}
	return url
}

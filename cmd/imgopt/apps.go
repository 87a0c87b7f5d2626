package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/handler/metrics"
	"imgopt/validate"
)

// newApps makes the public and the admin application.
func (s *service) newApps(c *config.Config, plan memoryPlan, log *slog.Logger, rules *validate.Rules, registry *prometheus.Registry, m *metrics.Metrics) error {
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
		MaxConns:                  connectionLimit(c, log),
		ResponseMemory:            plan.responses,
		Load:                      s.load,
		Cached:                    images{s.optimizer}.Cached,
		Draining:                  func() bool { return s.readiness.Draining() },
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
	if c.SaturatedAfter > 0 {
		checks = append(checks, handler.Check{Name: "capacity", Run: func(ctx context.Context) error {
			stats, err := s.optimizer.Stats(ctx)
			if err != nil {
				return err
			}
			if stats.SaturatedFor >= c.SaturatedAfter {
				return fmt.Errorf("new images have been refused for %s", stats.SaturatedFor.Round(time.Second))
			}
			return nil
		}})
	}
	s.readiness = handler.NewReadiness(checks...)
	var demo *handler.Demo
	if c.Demo {
		demo = newDemo(c, s.optimizer, rules)
	}
	s.admin, err = handler.NewAdmin(handler.AdminOptions{
		Ready:   s.readiness,
		Metrics: registry,
		Demo:    demo,
		Log:     log,
	})
	return err
}

// publicURL is the endpoint as a person on this machine reaches it.
func publicURL(c *config.Config) string {
	url := "http://" + reachable(c.Listen) + c.BasePath + "/_next/image"
	if c.TrailingSlash {
		url += "/"
	}
	return url
}

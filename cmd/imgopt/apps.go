package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/validate"
)

// newReadiness makes the checks of the process. What depends on the configuration they ask the edition in force.
func (s *service) newReadiness(c *config.Config) *handler.Readiness {
	checks := []handler.Check{{Name: "listeners", Run: func(context.Context) error {
		if !s.ready.Load() {
			return errors.New("not open yet")
		}
		return nil
	}}}
	if s.codecs != nil {
		checks = append(checks, handler.Check{Name: "codecs", Run: func(context.Context) error { return s.codecs.Alive() }})
	}
	checks = append(checks, handler.Check{Name: "capacity", Run: func(ctx context.Context) error {
		e := s.editions.inForce()
		if e.config.SaturatedAfter == 0 {
			return nil
		}
		stats, err := e.optimizer.Stats(ctx)
		if err != nil {
			return err
		}
		if stats.SaturatedFor >= e.config.SaturatedAfter {
			return fmt.Errorf("new images have been refused for %s", stats.SaturatedFor.Round(time.Second))
		}
		return nil
	}})
	if s.shared != nil {
		checks = append(checks, s.shared.checks(c.Role, func() int { return s.editions.inForce().queue.remote.Peers() })...)
	}
	return handler.NewReadiness(checks...)
}

// serveWith puts the first edition in force. The servers of its applications are those of the process: whatever is asked
// they have the edition answer that is in force at that moment.
func (s *service) serveWith(e *edition) {
	s.editions.swap(e)
	s.public, s.admin = e.public, e.admin
	if s.public != nil {
		s.public.Server().Handler = s.editions.servePublic
	}
	s.admin.Server().Handler = s.editions.serveAdmin
}

// newAdmin makes the admin application.
func (e *edition) newAdmin(c *config.Config, rules *validate.Rules) (err error) {
	s := e.service
	var demo *handler.Demo
	if c.Demo && c.Role != config.RoleWorker {
		demo = newDemo(c, images{e}, rules)
	}
	options := handler.AdminOptions{
		Ready:    s.readiness,
		Metrics:  s.registry,
		Demo:     demo,
		Purger:   purger{s.store},
		Reloader: s.reloader,
		Pprof:    c.Debug.Pprof,
		Version:  version,
		Instance: replicaName(),
		Started:  s.started,
		Log:      s.log,
	}
	if e.queue != nil {
		options.Queue = queueAdmin{c.Storage.Type, e.queue.remote}
	}
	if e.admin, err = handler.NewAdmin(options); err == nil {
		e.serveAdmin = e.admin.Handler()
	}
	return err
}

// timings are the values of debug.serverTiming.
var timings = map[string]handler.ServerTiming{
	config.TimingNever: handler.TimingNever, config.TimingAlways: handler.TimingAlways, config.TimingRequest: handler.TimingOnRequest,
}

// newPublic makes the public application.
func (e *edition) newPublic(c *config.Config, rules *validate.Rules) (err error) {
	if c.Role == config.RoleWorker {
		return nil
	}
	s := e.service
	access := s.log
	if !c.Log.Access {
		access = nil
	}
	e.public, err = handler.New(images{e}, rules, handler.Options{
		BasePath:                  c.BasePath,
		TrailingSlash:             c.TrailingSlash,
		SkipTrailingSlashRedirect: c.SkipTrailingSlashRedirect,
		NoCompress:                !c.Compress,
		Disabled:                  c.Images.Unoptimized || c.Images.Loader != "default",
		ContentSecurityPolicy:     c.Images.ContentSecurityPolicy,
		ContentDispositionType:    c.Images.ContentDispositionType,
		Timeout:                   c.Timeout,
		Log:                       access,
		Observer:                  s.metrics,
		Tracer:                    s.tracer(c),
		Context:                   s.waiting,
		MaxConns:                  s.maxConns,
		ResponseMemory:            s.plan.responses,
		Load:                      s.load,
		Cached:                    images{e}.Cached,
		DeploymentCookie:          deploymentCookie(c),
		ServerTiming:              timings[c.Debug.ServerTiming],
		ServerTimingToken:         c.Debug.ServerTimingToken,
		Draining:                  s.readiness.Draining,
	})
	if err == nil {
		// The server's own handler, which the application has replaced: it spares Fiber's router.
		e.servePublic = e.public.Server().Handler
	}
	return err
}

// deploymentCookie is "" where versions have no origins of their own: cookies are then nobody's business.
func deploymentCookie(c *config.Config) string {
	if len(c.Deployment.Origin) == 0 {
		return ""
	}
	return c.Deployment.Cookie
}

// publicURL is the endpoint as a person on this machine reaches it.
func publicURL(c *config.Config) string {
	url := "http://" + reachable(c.Listen) + c.BasePath + "/_next/image"
	if c.TrailingSlash {
		url += "/"
	}
	return url
}

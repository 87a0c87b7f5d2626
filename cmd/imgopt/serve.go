package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/spf13/cobra"

	"imgopt/config"
	"imgopt/handler"
)

func serveCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer {basePath}/_next/image, with health, metrics and a demo page on a second listener",
		Long: `Answer {basePath}/_next/image, with health, metrics and a demo page on a second listener.

On SIGHUP, on POST /reload of the admin listener ("imgopt reload") and when there is a new Next.js build in nextDir, the
configuration is read again and put in force without a restart, all of it or nothing. The log says what has changed, what
takes a restart, and why a configuration was refused.

SIGTERM and SIGINT end the service when what is under way is finished.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			first, err := s.read()
			if err != nil {
				return err
			}
			log := newLogger(cmd.ErrOrStderr(), first.config.Log)
			captureLibraries(log)
			total, container := availableMemory()
			plan := planMemory(first.config, first.from.Of("cache.memory").Kind != config.FromDefault, total, container)
			return serve(cmd.Context(), first, s.read, plan, log)
		},
	}
	s.register(cmd)
	return cmd
}

// serve runs the service until ctx ends (SIGTERM, SIGINT) or a listener fails, and then stops it within the grace
// period: the listeners first, so that nothing new arrives, then the work, then what the work needs. On SIGHUP, and on
// request, the configuration is read again.
func serve(ctx context.Context, first reading, read func() (reading, error), plan memoryPlan, log *slog.Logger) error {
	hangups := make(chan os.Signal, 1) // one stands for all that arrive meanwhile
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	listeners, err := listen(first.config)
	if err != nil {
		return err
	}
	plan.apply(log)
	if err := setSlices(serviceSlice); err != nil {
		log.Debug("hits may wait for codecs a little", "error", err)
	}
	s, err := newService(first, read, plan, log)
	if err != nil {
		for _, l := range listeners {
			_ = l.Close()
		}
		return err
	}
	for _, l := range listeners {
		l.wrap(s, log)
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- l.serve(s) }()
	}
	for _, l := range listeners {
		log.Info("listening", "what", l.name, "address", l.Addr().String())
	}
	s.ready.Store(true)
	s.reloader.run(hangups)

	select {
	case <-ctx.Done():
	case err = <-failed:
		log.Error("a listener failed; stopping", "error", err)
	}
	c := s.editions.inForce().config
	if err == nil {
		log.Info("stopping", "grace", c.ShutdownTimeout)
	}
	s.readiness.Drain()
	started := time.Now()
	grace, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	s.reloader.stop()
	if err == nil && c.ShutdownDelay > 0 {
		// Whoever distributes requests learns from /readyz, in its own time. A listener that failed is gone already.
		select {
		case <-time.After(c.ShutdownDelay):
		case err = <-failed:
			log.Error("a listener failed; stopping", "error", err)
		}
	}
	stopped := s.close(grace)
	if stopped != nil {
		log.Error("stopped before everything was finished", "after", time.Since(started), "error", stopped)
	} else {
		log.Info("stopped", "after", time.Since(started))
	}
	return errors.Join(err, stopped)
}

// listener is an address and the application that answers there.
type listener struct {
	net.Listener
	name  string
	app   func(*service) *fiber.App
	spare int
}

// adminSpare is how many descriptors the admin listener has for when there are no others: probes and Prometheus.
const adminSpare = 4

// wrap makes the listener one of the handler's, before anything is accepted.
func (l *listener) wrap(s *service, log *slog.Logger) {
	l.Listener = handler.Wrap(l.Listener, handler.ListenOptions{
		Name: l.name, Log: log, Spare: l.spare, AcceptFailed: func() { s.metrics.AcceptFailed(l.name) },
	})
}

func (l *listener) serve(s *service) error {
	if err := l.app(s).Listener(l.Listener); err != nil {
		return fmt.Errorf("serving the %s listener: %w", l.name, err)
	}
	return nil
}

// listen opens the configured addresses before anything else is started, so that a port in use is an error at once.
func listen(c *config.Config) ([]*listener, error) {
	var open []*listener
	var addresses []string
	if c.Role != config.RoleWorker {
		open = append(open, &listener{name: "public", app: func(s *service) *fiber.App { return s.public }})
		addresses = append(addresses, c.Listen)
	}
	if c.AdminListen != "" {
		open = append(open, &listener{name: "admin", spare: adminSpare, app: func(s *service) *fiber.App { return s.admin }})
		addresses = append(addresses, c.AdminListen)
	}
	for i, l := range open {
		ln, err := net.Listen("tcp", addresses[i])
		if err != nil {
			for _, earlier := range open[:i] {
				_ = earlier.Close()
			}
			return nil, fmt.Errorf("opening the %s listener: %w", l.name, err)
		}
		l.Listener = ln
	}
	return open, nil
}

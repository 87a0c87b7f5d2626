package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/nextwatch"
)

// reading is the configuration as it was at one moment.
type reading struct {
	config *config.Config
	from   *config.Provenance
	// build is the Next.js build in nextDir, as it was before the configuration was read: if it is replaced
	// meanwhile, that is noticed.
	build nextwatch.Print
}

// read reads the configuration for serve from where the command line says, as often as it is called.
func (s *settings) read() (r reading, err error) {
	if r.config, r.from, err = s.load(); err != nil {
		return reading{}, err
	}
	if dir := r.config.NextDir; dir != "" {
		build := nextwatch.NewLooker(dir).Look()
		if r.config, r.from, err = s.load(); err != nil {
			return reading{}, err
		}
		if r.config.NextDir == dir {
			r.build = build
		}
	}
	return r, r.config.Validate(config.Serve)
}

// reloader reads the configuration again and puts what has changed in force, all of it or nothing: when it is told to,
// and when there is a new Next.js build.
type reloader struct {
	service *service
	read    func() (reading, error)

	turn    chan struct{} // one reload at a time; guards stopped
	stopped bool

	mu    sync.Mutex
	build nextwatch.Print // whose settings are in force

	running sync.WaitGroup
	ctx     context.Context // ends when the process stops
	cancel  context.CancelFunc
}

// newReloader makes the one of a service that was started with first.
func newReloader(s *service, first reading, read func() (reading, error)) *reloader {
	r := &reloader{service: s, read: read, build: first.build, turn: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Who has the configuration read again, as the log names them.
const (
	byRequest = "request"
	bySignal  = "SIGHUP"
	byBuild   = "new Next.js build"
)

// run reloads whenever a signal arrives or there is a new build, until stop is called.
func (r *reloader) run(signals <-chan os.Signal) {
	r.running.Go(func() {
		for {
			select {
			case <-signals:
				_, _ = r.reload(r.ctx, bySignal) // it has logged what became of it
			case <-r.ctx.Done():
				return
			}
		}
	})
	r.running.Go(func() {
		nextwatch.Watch(r.ctx, nextwatch.Options{
			InForce: func() (string, nextwatch.Print) {
				dir := r.service.editions.inForce().config.NextDir
				r.mu.Lock()
				defer r.mu.Unlock()
				return dir, r.build
			},
			Reload: func(ctx context.Context) { _, _ = r.reload(ctx, byBuild) },
			Log:    r.service.log,
		})
	})
}

// stop waits for a reload under way and allows no more.
func (r *reloader) stop() {
	r.cancel()
	r.running.Wait()
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.stopped = true
}

// Reload implements handler.Reloader.
func (r *reloader) Reload(ctx context.Context) (handler.ReloadReport, error) {
	return r.reload(ctx, byRequest)
}

func (r *reloader) reload(ctx context.Context, by string) (handler.ReloadReport, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return handler.ReloadReport{}, fmt.Errorf("%w: another reload is under way", handler.ErrUnavailable)
	}
	if r.stopped {
		return handler.ReloadReport{}, fmt.Errorf("%w: the service is stopping", handler.ErrUnavailable)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	report, err := r.replace(ctx)
	r.service.metrics.Reloaded(err)
	r.tell(by, report, err)
	return report, err
}

// replace reads the configuration and puts it in force if it can be.
func (r *reloader) replace(ctx context.Context) (report handler.ReloadReport, err error) {
	next, err := r.read()
	if err != nil {
		return report, err
	}
	editions := r.service.editions
	before := editions.inForce()
	old := before.config
	for _, key := range config.Diff(old, next.config) {
		if !reloadable[key] {
			report.NeedRestart = append(report.NeedRestart, key)
		}
	}
	// What was right together in the file need not be so with values of before.
	mixed := config.Keep(old, next.config, report.NeedRestart)
	if err := mixed.Combine(); err != nil {
		return handler.ReloadReport{}, fmt.Errorf("only a restart can put this in force: %w", err)
	}
	report.Changed = config.Diff(old, mixed)
	if old.OwnDeployment() != mixed.OwnDeployment() && !slices.Contains(report.Changed, "nextDir") {
		report.Changed = append(report.Changed, "nextDir") // the same folder, another version in it
	}
	if len(report.Changed) > 0 {
		e, err := r.service.newEdition(mixed)
		if err != nil {
			return handler.ReloadReport{}, err
		}
		if err := e.join(ctx, before); err != nil {
			e.discard()
			return handler.ReloadReport{}, err
		}
		editions.swap(e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.build = next.build
	return report, nil
}

// tell logs one line.
func (r *reloader) tell(by string, report handler.ReloadReport, err error) {
	log := r.service.log
	switch {
	case err != nil:
		log.Error("the new configuration was refused; the old one stays in force", "by", by, "error", strings.ReplaceAll(err.Error(), "\n", "; "))
	case len(report.Changed)+len(report.NeedRestart) == 0:
		log.Info("the configuration was read again; nothing has changed", "by", by)
	default:
		level, attrs := slog.LevelInfo, []any{"by", by, "changed", strings.Join(report.Changed, ", ")}
		if len(report.NeedRestart) > 0 {
			level, attrs = slog.LevelWarn, append(attrs, "need a restart", strings.Join(report.NeedRestart, ", "))
		}
		log.Log(context.Background(), level, "the configuration was reloaded", attrs...)
	}
}

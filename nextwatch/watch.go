package nextwatch

import (
	"context"
	"log/slog"
	"time"
)

// Every is how often a build is looked at.
const Every = 2 * time.Second

// Options of Watch. All are needed but Log.
type Options struct {
	// InForce returns the folder to watch, as for the key nextDir ("": none now), and the print of the build whose
	// settings are in force. It is asked before each look.
	InForce func() (dir string, build Print)
	// Reload puts the settings of the build that is there now in force, and from then on InForce returns its print. If it
	// fails it has told whoever wants to know: it is called again when the build has changed again.
	Reload func(ctx context.Context)
	// Log gets one line when a build disappears. Nil means slog.Default().
	Log *slog.Logger
}

// Watch calls Reload for every new build until ctx ends. A build has to look the same twice, Every apart, before
// it is taken for whole: it may be being copied. One without settings, or without the BUILD_ID that the one in force has,
// is being made, and waited for.
func Watch(ctx context.Context, o Options) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	w := &watcher{Options: o}
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look(ctx)
		}
	}
}

// watcher is a Watch and what it has seen so far.
type watcher struct {
	Options
	dir    string
	looker *Looker
	last   Print // of the look before
	before Print // was in force after the look before
	tried  Print // Reload was called for it and has not put it in force
	absent bool  // it was said that there is no build
}

func (w *watcher) look(ctx context.Context) {
	dir, inForce := w.InForce()
	if dir != w.dir {
		*w = watcher{Options: w.Options, dir: dir}
	}
	if dir == "" {
		return
	}
	if w.looker == nil {
		w.looker = NewLooker(dir)
	}
	now := w.looker.Look()
	settled := now == w.last
	w.last = now
	if inForce != w.before { // somebody else has reloaded
		w.before, w.tried = inForce, Print{}
	}
	switch {
	case now == inForce:
		w.tried, w.absent = Print{}, false
	case !settled, now == w.tried:
	case !now.Manifest, inForce.ID && !now.ID:
		if !w.absent {
			w.Log.Info("there is no complete Next.js build; the settings of the last one stay in force", "nextDir", dir)
		}
		w.absent = true
	default:
		w.absent = false
		w.Reload(ctx)
		if _, w.before = w.InForce(); w.before == inForce {
			w.tried = now
		}
	}
}

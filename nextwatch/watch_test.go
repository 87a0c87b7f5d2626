package nextwatch

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/config"
)

// scene is a watched folder in a bubble of synctest: real files, the bubble's clock.
type scene struct {
	t       *testing.T
	mu      sync.Mutex // held by the play but for looks
	dir     string
	watched string
	inForce Print
	refuse  bool
	reloads int
	log     bytes.Buffer
}

// watching runs play while w is watched.
func watching(t *testing.T, play func(s *scene)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, dir: dir, watched: dir}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Watch(ctx, Options{
				InForce: func() (string, Print) {
					s.mu.Lock()
					defer s.mu.Unlock()
					return s.watched, s.inForce
				},
				Reload: func(context.Context) {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.reloads++
					if !s.refuse {
						s.take()
					}
				},
				Log: slog.New(slog.NewTextHandler(&s.log, nil)),
			})
		}()
		s.mu.Lock()
		play(s)
		s.mu.Unlock()
		cancel()
		<-ended
	})
}

// take puts what is there in force.
func (s *scene) take() { s.inForce = NewLooker(s.watched).Look() }

// looks lets n looks pass. Between them the watcher rests, and the scene may be changed.
func (s *scene) looks(n int) {
	s.mu.Unlock()
	for range n {
		time.Sleep(Every)
		synctest.Wait()
	}
	s.mu.Lock()
}

// expect checks how often Reload was called since the last time.
func (s *scene) expect(what string, reloads int) {
	s.t.Helper()
	if s.reloads != reloads {
		s.t.Errorf("%s: %d reloads, want %d", what, s.reloads, reloads)
	}
	s.reloads = 0
}

func TestWatchNewBuild(t *testing.T) {
	watching(t, func(s *scene) {
		copyBuild(t, s.dir, "basepath", "one")
		s.take()
		s.looks(10)
		s.expect("nothing has changed", 0)

		write(t, filepath.Join(s.dir, config.BuildID), "two")
		s.looks(1)
		s.expect("one look", 0)
		s.looks(1)
		s.expect("two looks", 1)
		s.looks(10)
		s.expect("and no more", 0)

		// One that is copied for a while is taken when it is still.
		for _, part := range []string{"{", `{"a"`, `{"a":1`} {
			write(t, filepath.Join(s.dir, "required-server-files.json"), part)
			s.looks(1)
		}
		write(t, filepath.Join(s.dir, "required-server-files.json"), `{"a":1}`)
		s.looks(1)
		s.expect("being copied", 0)
		s.looks(1)
		s.expect("copied", 1)
		if s.log.Len() > 0 {
			t.Errorf("logged: %s", s.log.String())
		}
	})
}

// Somebody else may reload at any time, and builds may come back.
func TestWatchOthersReload(t *testing.T) {
	watching(t, func(s *scene) {
		id := filepath.Join(s.dir, config.BuildID)
		copyBuild(t, s.dir, "basepath", "one")
		s.take()
		write(t, id, "two")
		s.looks(2)
		s.expect("two", 1)
		write(t, id, "one")
		s.take()
		write(t, id, "two")
		s.looks(2)
		s.expect("two again, after one was put in force between looks", 1)
	})
}

// A build that is refused is tried once, until it has changed again.
func TestWatchRefused(t *testing.T) {
	watching(t, func(s *scene) {
		copyBuild(t, s.dir, "basepath", "one")
		s.take()
		s.refuse = true
		write(t, filepath.Join(s.dir, "required-server-files.json"), "{")
		s.looks(10)
		s.expect("half a file", 1)
		write(t, filepath.Join(s.dir, "required-server-files.json"), "{}")
		s.looks(10)
		s.expect("another bad one", 1)

		s.refuse = false
		copyBuild(t, filepath.Join(s.dir, "whole"), "basepath", "")
		must(t, os.Rename(filepath.Join(s.dir, "whole", "required-server-files.json"), filepath.Join(s.dir, "required-server-files.json")))
		s.looks(10)
		s.expect("the one in force is back", 0)
		write(t, filepath.Join(s.dir, "required-server-files.json"), "{")
		s.looks(10)
		s.expect("the first bad one again is news", 1)
	})
}

// `next build` first removes all and writes BUILD_ID late. Until then there is nothing to be taken, and nothing to
// complain about but once.
func TestWatchBeingBuilt(t *testing.T) {
	watching(t, func(s *scene) {
		copyBuild(t, s.dir, "basepath", "one")
		s.take()
		must(t, os.RemoveAll(s.dir))
		s.looks(5)
		copyBuild(t, s.dir, "patterns", "")
		s.looks(5)
		s.expect("no BUILD_ID yet", 0)
		if n := strings.Count(s.log.String(), "\n"); n != 1 || !strings.Contains(s.log.String(), "nextDir="+s.dir) {
			t.Errorf("%d lines, want one that names the folder: %s", n, s.log.String())
		}
		write(t, filepath.Join(s.dir, config.BuildID), "two")
		s.looks(2)
		s.expect("built", 1)

		must(t, os.Remove(filepath.Join(s.dir, config.BuildID)))
		s.looks(5)
		s.expect("the next one begins", 0)
		if n := strings.Count(s.log.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want another one: %s", n, s.log.String())
		}
	})
}

// Who copies nothing but the manifests is not made to wait for a BUILD_ID.
func TestWatchWithoutID(t *testing.T) {
	watching(t, func(s *scene) {
		copyBuild(t, s.dir, "basepath", "")
		s.take()
		must(t, os.RemoveAll(s.dir))
		copyBuild(t, s.dir, "patterns", "")
		s.looks(2)
		s.expect("other manifests", 1)
	})
}

// Kubernetes puts a volume's files into a folder of their own and swaps a symbolic link to it.
func TestWatchSwappedLink(t *testing.T) {
	watching(t, func(s *scene) {
		copyBuild(t, filepath.Join(s.dir, "..1", ".next"), "basepath", "one")
		copyBuild(t, filepath.Join(s.dir, "..2", ".next"), "patterns", "two")
		must(t, os.Symlink("..1", filepath.Join(s.dir, "..data")))
		must(t, os.Symlink(filepath.Join("..data", ".next"), filepath.Join(s.dir, ".next")))
		s.take()
		s.looks(3)
		must(t, os.Symlink("..2", filepath.Join(s.dir, "..new")))
		must(t, os.Rename(filepath.Join(s.dir, "..new"), filepath.Join(s.dir, "..data")))
		must(t, os.RemoveAll(filepath.Join(s.dir, "..1")))
		s.looks(2)
		s.expect("swapped", 1)
	})
}

// The folder itself is a setting that a reload may change.
func TestWatchOtherFolder(t *testing.T) {
	watching(t, func(s *scene) {
		one, two := filepath.Join(s.dir, "one"), filepath.Join(s.dir, "two")
		copyBuild(t, one, "basepath", "one")
		copyBuild(t, two, "basepath", "two")
		s.watched = ""
		s.looks(3)
		s.watched = one
		s.take()
		s.looks(3)
		s.watched = two
		s.take()
		s.looks(3)
		s.expect("nothing new in any of them", 0)
		write(t, filepath.Join(one, config.BuildID), "three")
		s.looks(3)
		s.expect("not watched any more", 0)
		write(t, filepath.Join(two, config.BuildID), "three")
		s.looks(3)
		s.expect("watched", 1)
	})
}

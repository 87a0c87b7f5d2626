package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startSample is one start: seconds until the first answer of any kind, and until the first image; memory then.
type startSample struct {
	Answer, Image float64
	Memory        int64
}

type startPeer struct {
	Name string
	// Files is what has to be installed to run it, in bytes: programs, libraries and packages, Node.js included; not
	// what the distribution has.
	Files   int64
	Samples []startSample
}

type startResult struct{ Peers []startPeer }

// startsPerRound is how often each is started in a round: it takes a moment only.
const startsPerRound = 4

// startup measures how soon a new process answers, and what it takes on disk.
func startup(ctx context.Context, s settings, r *report) error {
	const tiny = "testdata/images/64x64.png"
	up, err := serveFiles([]string{tiny})
	if err != nil {
		return err
	}
	defer up.close()
	peers := []peer{imgopt(s, nameImgopt), next(s, false), platformatic(s, "memory"), ipx(s)}
	result := &startResult{Peers: make([]startPeer, len(peers))}
	r.Startup = result
	own, err := filesOf(s.imgopt, filepath.Join(filepath.Dir(s.imgopt), "lib"))
	if err != nil {
		return err
	}
	result.Peers[0].Files = own
	for i, packages := range [][]string{{"next", "react", "react-dom", "sharp"}, {"wattpm", "@platformatic/next", "@platformatic/job-queue", "next", "react", "react-dom"}, {"ipx"}} {
		n, err := packageFiles(filepath.Join(s.peers, "node_modules"), packages...)
		if err != nil {
			return err
		}
		program, err := filesOf(node(s))
		if err != nil {
			return err
		}
		result.Peers[i+1].Files = n + program
	}
	starts := startsPerRound
	if s.quick {
		starts = 1
	}
	for round := range s.rounds {
		for k := range starts * len(peers) {
			n := (k + round) % len(peers)
			sm, err := runStart(ctx, up, peers[n])
			if err != nil {
				return fmt.Errorf("%s: %w", peers[n].name, err)
			}
			result.Peers[n].Name = peers[n].name
			result.Peers[n].Samples = append(result.Peers[n].Samples, sm)
			fmt.Printf("startup, %s: first answer %.0f ms, first image %.0f ms\n", peers[n].name, 1000*sm.Answer, 1000*sm.Image)
		}
	}
	return nil
}

func runStart(ctx context.Context, up *upstream, p peer) (sm startSample, err error) {
	began := time.Now()
	st, err := p.start(ctx) // returns with the first answer, which it tries to get every two milliseconds
	if err != nil {
		return sm, err
	}
	sm.Answer = time.Since(began).Seconds()
	defer func() {
		var closed error
		sm.Memory, closed = st.close()
		err = errors.Join(err, closed)
	}()
	client := newClient(1)
	defer client.CloseIdleConnections()
	format := "webp"
	if !p.makes(format) {
		format = "png"
	}
	if _, err := get(ctx, client, st.base+p.target(up.base+"/64x64.png", 64, format), accepts(format)); err != nil {
		return sm, err
	}
	sm.Image = time.Since(began).Seconds()
	sm.Memory = treeMemories(st.pids())
	return sm, nil
}

// filesOf is the size of files, and of folders with what is in them.
func filesOf(paths ...string) (int64, error) {
	var sum int64
	for _, p := range paths {
		if err := filepath.WalkDir(p, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				sum += info.Size()
			}
			return err
		}); err != nil && !errors.Is(err, fs.ErrNotExist) { // no lib folder with the distribution's libvips
			return 0, err
		}
	}
	return sum, nil
}

// packageFiles is the size of packages with all that they need, of what is installed in a node_modules folder.
func packageFiles(modules string, packages ...string) (int64, error) {
	seen := map[string]bool{}
	var sum int64
	for todo := packages; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		dir := filepath.Join(modules, name)
		b, err := os.ReadFile(filepath.Join(dir, "package.json"))
		if seen[name] || errors.Is(err, fs.ErrNotExist) { // for another platform, or inside the package that needs it
			continue
		}
		if err != nil {
			return 0, err
		}
		seen[name] = true
		n, err := filesOf(dir)
		if err != nil {
			return 0, err
		}
		sum += n
		var p struct{ Dependencies, OptionalDependencies map[string]string }
		if err := json.Unmarshal(b, &p); err != nil {
			return 0, fmt.Errorf("%s: %w", dir, err)
		}
		for _, needs := range []map[string]string{p.Dependencies, p.OptionalDependencies} {
			for name := range needs {
				if !strings.HasPrefix(name, "@next/swc-") { // the compiler, for building
					todo = append(todo, name)
				}
			}
		}
	}
	return sum, nil
}

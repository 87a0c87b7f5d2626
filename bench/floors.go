package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// bareLoop is what the loops print.
type bareLoop struct {
	Images, Wall, CPU float64
	RSS, Bytes        int64
	SHA256            string
}

func (m bareLoop) sample() sample {
	return sample{Rate: m.Images / m.Wall, CPU: m.CPU / m.Images, Memory: m.RSS, Bytes: m.Bytes, SHA256: m.SHA256}
}

// runLoop runs the pipeline of Next.js with sharp and nothing around it, one process for each CPU.
func runLoop(ctx context.Context, s settings, photo string, c coldCase) (sample, error) {
	var m bareLoop
	err := run(ctx, launch{dir: s.peers, env: nodeEnv, argv: []string{node(s), "loop.mjs", photo, strconv.Itoa(c.width), strconv.Itoa(qualityOf(c.format)),
		c.format, strconv.Itoa(c.images), strconv.Itoa(runtime.NumCPU())}}, &m)
	return m.sample(), err
}

// runFloor runs the same pipeline with libvips alone, in so many processes.
func runFloor(ctx context.Context, s settings, photo, dir string, c coldCase, processes int) (sample, error) {
	var m bareLoop
	picture := filepath.Join(dir, "floor")
	if err := run(ctx, launch{argv: []string{s.floor, photo, strconv.Itoa(c.width), strconv.Itoa(qualityOf(c.format)), c.format,
		strconv.Itoa(c.images), strconv.Itoa(processes), picture}}, &m); err != nil {
		return sample{}, err
	}
	b, err := os.ReadFile(picture)
	if err != nil {
		return sample{}, fmt.Errorf("reading the floor's picture: %w", err)
	}
	m.Bytes, m.SHA256 = int64(len(b)), sum(b)
	return m.sample(), nil
}

// run runs a program that prints a line of JSON, at most five minutes.
func run(ctx context.Context, l launch, result any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	p, err := startProcess(ctx, l)
	if err != nil {
		return err
	}
	ended := p.Wait()
	text, read := os.ReadFile(p.log.Name())
	if err := errors.Join(ended, read, p.stop()); err != nil {
		return fmt.Errorf("running %s: %w: %s", filepath.Base(l.argv[0]), err, text)
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("reading what %s says: %w: %s", filepath.Base(l.argv[0]), err, text)
	}
	return nil
}

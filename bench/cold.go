package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// coldCase is one format and width; images is how many are made in one run, so that it takes some seconds.
type coldCase struct {
	format, accept string
	width, images  int
}

var coldCases = []coldCase{
	{"jpeg", "image/jpeg", 828, 80}, {"jpeg", "image/jpeg", 1920, 30},
	{"webp", "image/webp", 828, 80}, {"webp", "image/webp", 1920, 30},
	{"avif", "image/avif", 828, 24}, {"avif", "image/avif", 1920, 8},
}

// source is the 6-megapixel photo that -large makes.
func source(images string) (string, error) {
	found, err := filepath.Glob(filepath.Join(images, "*.jpg"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no jpeg in %s", images)
	}
	return filepath.Abs(found[0])
}

// cold compares cold requests through the whole service with the bare loop, format by format. Both use one process
// per CPU at the same scheduling priority; the service gets two requests per CPU at a time, so that its codecs do
// not wait for the client.
func cold(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	for _, c := range coldCases {
		if s.coldImages > 0 {
			c.images = s.coldImages
		}
		var ours, floors []sample
		for range s.rounds {
			f, err := runFloor(ctx, s.floor, photo, c)
			if err != nil {
				return err
			}
			o, err := runCold(ctx, s.imgopt, photo, c)
			if err != nil {
				return err
			}
			floors, ours = append(floors, f), append(ours, o)
			fmt.Printf("cold %s %d: imgopt %.2f/s %.4f CPU s, floor %.2f/s %.4f CPU s\n", c.format, c.width, o.Rate, o.CPU, f.Rate, f.CPU)
		}
		r.Cold = append(r.Cold, coldResult{Format: c.format, Width: c.width, Images: c.images, Imgopt: ours, Floor: floors})
	}
	return nil
}

// sample is one run: images per second, processor seconds per image, peak memory in bytes.
type sample struct {
	Rate, CPU float64
	Memory    int64
}

func runFloor(ctx context.Context, binary, photo string, c coldCase) (sample, error) {
	quality := 75
	if c.format == "avif" {
		quality = 47 // what quality 75 becomes for AVIF
	}
	out, err := exec.CommandContext(ctx, "nice", "-n", "10", binary, photo, strconv.Itoa(c.width), strconv.Itoa(quality), c.format,
		strconv.Itoa(c.images), strconv.Itoa(runtime.NumCPU())).Output()
	if err != nil {
		return sample{}, fmt.Errorf("running the bare loop: %w", err)
	}
	var m struct {
		Images, Wall, CPU float64
		RSS               int64
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return sample{}, fmt.Errorf("reading the bare loop's figures: %w", err)
	}
	return sample{Rate: m.Images / m.Wall, CPU: m.CPU / m.Images, Memory: m.RSS * int64(runtime.NumCPU())}, nil
}

// runCold asks a fresh service for c.images variants; args are added to its command line.
func runCold(ctx context.Context, binary, photo string, c coldCase, args ...string) (sample, error) {
	// A query makes each request another variant of the same file.
	args = append([]string{"--origin", "file://" + filepath.Dir(photo), "--images.formats", "image/avif,image/webp",
		"--images.localPatterns", `[{"pathname":"/**"}]`}, args...)
	srv, err := start(ctx, binary, args...)
	if err != nil {
		return sample{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * runtime.NumCPU()}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wg sync.WaitGroup
	clients := 2 * runtime.NumCPU()
	failures := make(chan error, clients)
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(c.images); i = next.Add(1) {
				path := fmt.Sprintf("/_next/image?url=%%2F%s%%3Fv%%3D%d&w=%d&q=75", filepath.Base(photo), i, c.width)
				_, state, err := srv.get(ctx, client, path, c.accept)
				if err == nil && state != "MISS" {
					err = fmt.Errorf("%s: %s, want a miss", path, state)
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	wg.Wait()
	wall := time.Since(began).Seconds()
	cpu, peak, err := srv.close()
	close(failures)
	if failed := <-failures; failed != nil {
		return sample{}, failed
	}
	return sample{Rate: float64(c.images) / wall, CPU: cpu / float64(c.images), Memory: peak}, err
}

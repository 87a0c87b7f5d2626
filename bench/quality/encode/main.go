// Command encode makes images for the quality measurement, as a codec process makes them: in one process, on one thread
// of libvips. It reads requests from standard input and writes answers to standard output (see package protocol).
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	"imgopt/bench/quality/protocol"
	"imgopt/transform"
	"imgopt/transform/libvips"
)

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "encode:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(-1) // it would be measured; it is done between requests
	requests, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	warm := map[string]bool{}
	for {
		var req protocol.EncodeRequest
		if err := requests.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		var answer protocol.EncodeAnswer
		images, err := images(req, warm)
		if err != nil {
			answer.Error = fmt.Sprintf("%s at w=%d as %s: %v", filepath.Base(req.Source), req.Width, req.Format, err)
		} else {
			answer.Images = images
		}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("writing an answer: %w", err)
		}
	}
}

// images makes what is asked for. Odd rounds have the encodings in reverse, so that none always finds the warmer machine.
func images(req protocol.EncodeRequest, warm map[string]bool) ([]protocol.Image, error) {
	source, err := os.ReadFile(req.Source)
	if err != nil {
		return nil, err
	}
	opts := transform.Options{Mozjpeg: true}
	spec := transform.Spec{Width: req.Width, Output: req.Format}
	if !warm[req.Format] { // what is loaded and allocated with a format's first image is no image's
		if _, err := libvips.EncodeAs(context.Background(), source, spec, req.Encodings[0], opts); err != nil {
			return nil, err
		}
		warm[req.Format] = true
	}
	made := make([]protocol.Image, len(req.Encodings))
	for round := range req.Rounds {
		for i := range req.Encodings {
			if round%2 == 1 {
				i = len(req.Encodings) - 1 - i
			}
			runtime.GC()
			before, err := processorTime()
			if err != nil {
				return nil, err
			}
			encoded, err := libvips.EncodeAs(context.Background(), source, spec, req.Encodings[i], opts)
			if err != nil {
				return nil, err
			}
			after, err := processorTime()
			if err != nil {
				return nil, err
			}
			if made[i], err = keep(made[i], encoded, fmt.Sprintf("%s-%d", req.Prefix, i)); err != nil {
				return nil, err
			}
			made[i].CPU = append(made[i].CPU, after-before)
		}
	}
	return made, nil
}

// keep writes the first round's bytes to a file, and makes sure that those of the others are the same.
func keep(image protocol.Image, encoded []byte, file string) (protocol.Image, error) {
	digest := sha256.Sum256(encoded)
	name := hex.EncodeToString(digest[:])
	if image.SHA256 == "" {
		image.File, image.Bytes, image.SHA256 = file, int64(len(encoded)), name
		return image, os.WriteFile(file, encoded, 0o600)
	}
	if image.SHA256 != name {
		return image, errors.New("another round gave other bytes")
	}
	return image, nil
}

// processorTime is what this process has used so far, in seconds.
func processorTime() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime), nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"imgopt/bench/quality/protocol"
	"imgopt/testkit/child"
)

// talker is a program that answers each line of JSON with another.
type talker struct {
	*child.Process
	name    string
	in, out *os.File
	log     *os.File
	answers *json.Decoder
}

// startTalker starts one. It ends at the latest with ctx, and what was asked of it then fails.
func startTalker(ctx context.Context, l launch) (_ *talker, err error) {
	t := &talker{name: filepath.Base(l.argv[0])}
	defer func() {
		if err != nil {
			t.forget()
			err = fmt.Errorf("starting %s: %w", t.name, err)
		}
	}()
	if t.log, err = os.CreateTemp("", "imgopt-bench-*.log"); err != nil {
		return nil, err
	}
	// Not the pipes of os/exec: nobody may have read them to their end when it waits.
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	t.in = in
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	t.out = out
	t.answers = json.NewDecoder(bufio.NewReader(out))
	cmd := l.command(ctx)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, t.log
	t.Process, err = child.Start(cmd)
	return t, err
}

func (t *talker) forget() {
	for _, f := range []*os.File{t.in, t.out, t.log} {
		if f != nil {
			_ = f.Close()
		}
	}
	if t.log != nil {
		_ = os.Remove(t.log.Name())
	}
}

// ask sends a request, if there is one, and reads an answer.
func (t *talker) ask(request, answer any) error {
	if request != nil {
		if err := json.NewEncoder(t.in).Encode(request); err != nil {
			return fmt.Errorf("asking %s: %w: %s", t.name, err, t.says())
		}
	}
	err := t.answers.Decode(answer)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s ended: %s", t.name, t.says())
	}
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", t.name, err)
	}
	return nil
}

// says is what the program has written to its standard error.
func (t *talker) says() string {
	b, err := os.ReadFile(t.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// stop lets the program come to its end: nothing more will be asked.
func (t *talker) stop() {
	_ = t.in.Close()
	select {
	case <-t.Ended():
	case <-time.After(5 * time.Second):
	}
	_ = t.Kill()
	t.forget()
}

// crew are talkers of one kind, one for each CPU.
type crew []*talker

// gather starts a crew.
func gather(ctx context.Context, l launch) (crew, error) {
	var c crew
	for range runtime.NumCPU() {
		t, err := startTalker(ctx, l)
		if err != nil {
			c.stop()
			return nil, err
		}
		c = append(c, t)
	}
	return c, nil
}

func (c crew) stop() {
	for _, t := range c {
		t.stop()
	}
}

// share calls f for all numbers below n, with a talker that nobody else uses meanwhile.
func (c crew) share(ctx context.Context, n int, f func(*talker, int) error) error {
	free := make(chan *talker, len(c))
	for _, t := range c {
		free <- t
	}
	return closedLoop(ctx, len(c), n, func(i int) error {
		t := <-free
		defer func() { free <- t }()
		return f(t, i)
	})
}

// encoders starts what makes images.
func encoders(ctx context.Context, s settings) (crew, error) {
	return gather(ctx, launch{argv: []string{s.encode}, env: []string{"LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")}})
}

// encode has one photo encoded.
func encode(t *talker, q protocol.EncodeRequest) ([]protocol.Image, error) {
	var a protocol.EncodeAnswer
	if err := t.ask(q, &a); err != nil {
		return nil, err
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	if len(a.Images) != len(q.Encodings) {
		return nil, fmt.Errorf("%d images of %d encodings", len(a.Images), len(q.Encodings))
	}
	return a.Images, nil
}

// scorers starts what scores images; its programs exchange pictures in dir. It returns their versions, too.
func scorers(ctx context.Context, s settings, dir string) (crew, map[string]string, error) {
	c, err := gather(ctx, launch{argv: []string{node(s), filepath.Join(s.scorer, "score.mjs"), dir}})
	if err != nil {
		return nil, nil, err
	}
	var first protocol.ScoreAnswer
	for _, t := range c {
		if err := t.ask(nil, &first); err != nil {
			c.stop()
			return nil, nil, err
		}
	}
	return c, first.Tools, nil
}

// score has some encodings of one photo scored.
func score(t *talker, q protocol.ScoreRequest) (protocol.ScoreAnswer, error) {
	var a protocol.ScoreAnswer
	if err := t.ask(q, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, fmt.Errorf("scoring %s at w=%d: %s", filepath.Base(q.Source), q.Width, a.Error)
	}
	if len(a.Scores) != len(q.Files) || q.Butteraugli && len(a.Norms) != len(q.Files) {
		return a, fmt.Errorf("%d scores and %d norms of %d files", len(a.Scores), len(a.Norms), len(q.Files))
	}
	return a, nil
}

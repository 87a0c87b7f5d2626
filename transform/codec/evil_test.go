package codec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"imgopt/testkit/race"
	"imgopt/transform"
	"imgopt/transform/libvips"
)

// evilArgument makes the test binary a codec that evil sources take over: one that begins with evilPrefix and the name
// of a trick does as the trick says, any other source is encoded as it should be. It has no sandbox, so that nothing
// but the service's own care stands against it.
const (
	evilArgument = "evil"
	evilPrefix   = "EVIL "
)

func serveEvil() error {
	if len(os.Args) > 2 {
		switch os.Args[2] {
		case "hold": // the socket for another one
			time.Sleep(3 * time.Second)
			return nil
		case "die": // when it could begin
			return send(reply{status: replyReady}.append(nil))
		case "stop": // before it could begin: the one process that takes the file away
			if os.Remove(os.Args[3]) == nil {
				_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
			}
		}
	}
	var settings childSettings
	if err := json.Unmarshal([]byte(os.Getenv(settingsEnv)), &settings); err != nil {
		return err
	}
	source, err := inheritArea(sourceFD, "source", unix.PROT_READ)
	if err != nil {
		return err
	}
	result, err := inheritArea(resultFD, "result", unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return err
	}
	if err := libvips.Start(); err != nil {
		return err
	}
	if err := send(reply{status: replyReady}.append(nil)); err != nil {
		return err
	}
	evilSource = source.data
	packet := make([]byte, maxMessage)
	for {
		n, err := receive(packet)
		if err != nil || n == 0 {
			return err
		}
		if isMany(packet[:n]) {
			m, err := parseMany(packet[:n], len(source.data))
			if err != nil {
				return err
			}
			if name, ok := strings.CutPrefix(string(source.data[:m.source]), evilPrefix); ok {
				tricks[name].do(request{seq: m.seq, source: m.source, spec: m.specs[0]}, result.data)
				continue
			}
			if err := serveMany(packet[:n], source.data, result.data, settings.Options); err != nil {
				return err
			}
			continue
		}
		req, err := parseRequest(packet[:n], len(source.data))
		if err != nil {
			return err
		}
		if name, ok := strings.CutPrefix(string(source.data[:req.source]), evilPrefix); ok {
			tricks[name].do(req, result.data)
			continue
		}
		rep := work(req.seq, result.data, func(use func([]byte) error) error {
			return libvips.Run(context.Background(), source.data[:req.source], req.spec, settings.Options, use)
		})
		if err := send(rep.append(nil)); err != nil {
			return err
		}
	}
}

// trick is what a codec that was taken over does instead of answering, and what the service makes of it.
type trick struct {
	do   func(req request, result []byte)
	want string // ok, crashed, timeout, failed; nothing where it has a test of its own
}

const evilResult = 1 << 20

func answer(change func(*reply)) func(request, []byte) {
	return func(req request, _ []byte) {
		r := reply{seq: req.seq, result: 100}
		change(&r)
		_ = send(r.append(nil))
	}
}

func raw(packet []byte) func(request, []byte) {
	return func(request, []byte) { _ = send(packet) }
}

func endless() { time.Sleep(time.Hour) }

var tricks map[string]trick

func init() { // a variable's initializer would refer to itself through serveEvil
	tricks = map[string]trick{
		"an older answer":   {answer(func(r *reply) { r.seq-- }), "crashed"},
		"the next answer":   {answer(func(r *reply) { r.seq++ }), "crashed"},
		"one byte too much": {answer(func(r *reply) { r.result = evilResult + 1 }), "crashed"},
		"a negative length": {answer(func(r *reply) { r.result = -1 }), "crashed"},
		"an unknown status": {answer(func(r *reply) { r.status = 77 }), "crashed"},
		"ready once more":   {answer(func(r *reply) { r.status = replyReady }), "crashed"},
		"an empty packet":   {raw(nil), "crashed"},
		"a short packet":    {raw([]byte("IOPR")), "crashed"},
		"a long packet":     {raw(make([]byte, 100_000)), "crashed"},
		"a reply with a tail": {func(req request, _ []byte) {
			_ = send(append(reply{seq: req.seq}.append(nil), make([]byte, maxMessage)...))
		}, "crashed"},
		"the question":          {func(req request, _ []byte) { _ = send(req.append(nil)) }, "crashed"},
		"exit":                  {func(request, []byte) { leave() }, "crashed"},
		"abort":                 {func(request, []byte) { _ = unix.Kill(os.Getpid(), unix.SIGABRT); endless() }, "crashed"},
		"kill itself":           {func(request, []byte) { _ = unix.Kill(os.Getpid(), unix.SIGKILL); endless() }, "crashed"},
		"stop itself":           {func(request, []byte) { _ = unix.Kill(os.Getpid(), unix.SIGSTOP) }, "crashed"},
		"close and stay":        {func(request, []byte) { _ = unix.Close(controlFD); endless() }, "crashed"},
		"leave the socket":      {leaveSocket, "crashed"},
		"say nothing":           {func(request, []byte) { endless() }, "timeout"},
		"burn and say nothing":  {func(request, []byte) { burn() }, "timeout"},
		"take memory and burn":  {func(request, []byte) { hold(); burn() }, "timeout"},
		"too late":              {answer(func(r *reply) { r.status, r.message = replyTimedOut, "so it says" }), "timeout"},
		"a message for the log": {answer(func(r *reply) { r.status, r.message = replyCodecError, "a\n\x1b[2Jlevel=ERROR \xff\xfe\u202eb" }), "failed"},
		"the end of time":       {answer(func(r *reply) { r.cpu = math.MaxInt64 }), "ok"},
		"before the beginning":  {answer(func(r *reply) { r.cpu = math.MinInt64 }), "ok"},
		"no bytes at all":       {answer(func(r *reply) { r.result = 0 }), "ok"},
		"all there is":          {answer(func(r *reply) { r.result = evilResult }), "ok"},
		"a flood after it":      {func(req request, b []byte) { answer(func(*reply) {})(req, b); flood(req) }, "ok"},
		"the same answer twice": {func(req request, b []byte) { answer(func(*reply) {})(req, b); answer(func(*reply) {})(req, b) }, "ok"},
		"the next answer early": {func(req request, b []byte) {
			answer(func(*reply) {})(req, b)
			answer(func(r *reply) { r.seq++ })(req, b)
		}, "ok"},
		"write while it is read": {scribble, "ok"},
		"shrink the memory":      {shrink, "ok"},
		"flood the log":          {floodStderr, "ok"},
		"burn when it is idle":   {burnIdle, "ok"},
		"look for leftovers":     {leftovers, ""},
		"a large result":         {largeResult, ""},
	}
}

// leave ends the process without what the race detector does at the end, which takes a second.
func leave() { _, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) }

func burn() {
	for {
		_ = time.Now()
	}
}

// evilSource is the source area.
var evilSource []byte

// leftovers answers with an error if there is anything in the shared memory but the source.
func leftovers(req request, result []byte) {
	for area, b := range map[string][]byte{"source": evilSource[req.source:], "result": result} {
		if rest := bytes.TrimLeft(b, "\x00"); len(rest) > 0 {
			answer(func(r *reply) {
				r.status, r.message = replyCodecError, fmt.Sprintf("%d bytes in the %s area", len(rest), area)
			})(req, result)
			return
		}
	}
	answer(func(*reply) {})(req, result)
}

// largeResult is larger than what of the area is kept.
func largeResult(req request, result []byte) {
	answer(func(r *reply) { r.result = copy(result, bytes.Repeat([]byte{1}, keepResult+1<<20)) })(req, result)
}

// burnIdle answers, and works for itself from then on.
func burnIdle(req request, b []byte) {
	go burn()
	answer(func(*reply) {})(req, b)
}

var held []byte

// hold takes 512 MiB, which the kernel needs some 50 ms to take back.
func hold() {
	held = make([]byte, 512<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
}

func flood(req request) {
	for range 100_000 {
		_ = send(reply{seq: req.seq, result: 1}.append(nil))
	}
}

// leaveSocket ends, but a child of its own keeps the conversation open.
func leaveSocket(request, []byte) {
	cmd := exec.Command("/proc/self/exe", evilArgument, "hold")
	cmd.Env = os.Environ()
	cmd.ExtraFiles = []*os.File{os.NewFile(controlFD, "control")}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	leave()
}

func scribble(req request, result []byte) {
	go func() {
		for i := byte(0); ; i++ {
			for j := range result {
				result[j] = i
			}
		}
	}()
	time.Sleep(10 * time.Millisecond)
	answer(func(r *reply) { r.result = evilResult / 2 })(req, result)
	time.Sleep(50 * time.Millisecond)
}

// shrink tries to make the service's next touch of the shared memory a SIGBUS.
func shrink(req request, _ []byte) {
	for _, fd := range []int{sourceFD, resultFD, 2} {
		_ = unix.Ftruncate(fd, 0)
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	}
	answer(func(r *reply) { r.result = evilResult })(req, nil)
}

func floodStderr(req request, _ []byte) {
	line := bytes.Repeat([]byte("and another thing "), 200)
	for range 2_000 {
		_, _ = os.Stderr.Write(line)
	}
	answer(func(*reply) {})(req, nil)
}

// A codec that an image has taken over can spoil that image's answer and nothing else: the service neither crashes nor
// hangs, it never hands out more than the area holds, and the next image gets what it should.
func TestTakenOverCodecs(t *testing.T) {
	var seen atomic.Pointer[Outcome]
	s := settings(t)
	s.Command = append(s.Command, evilArgument)
	s.Options.Workers, s.Options.Timeout, s.MaxResult = 1, 200*time.Millisecond, evilResult
	if race.Enabled {
		s.Options.Timeout *= 5 // everything takes longer
	}
	s.Observe = func(o Outcome) { seen.Store(&o) }
	p := pool(t, s)
	good, spec := jpegOf(t, picture(64, 48)), transform.Spec{Output: transform.WebP, Width: 32, Quality: 75}
	want, err := p.Encode(t.Context(), good, spec)
	if err != nil {
		t.Fatal(err)
	}
	longest := maxLost*(watchEvery+endsWithin) + 2*(s.Options.Timeout+slack) + 3*time.Second
	for name, trick := range tricks {
		if trick.want == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			before, started := p.Stats(), time.Now()
			got, err := p.Encode(t.Context(), []byte(evilPrefix+name), spec)
			if took := time.Since(started); took > longest {
				t.Errorf("it took %s, at most %s", took, longest)
			}
			var codec *transform.CodecError
			failed := errors.As(err, &codec)
			switch {
			case err != nil && !failed:
				t.Errorf("%v, want a codec error", err)
			case trick.want != "ok" && !failed:
				t.Errorf("%d bytes, want an error", len(got))
			case len(got) > evilResult:
				t.Errorf("%d bytes from an area of %d", len(got), evilResult)
			case trick.want == "ok" && failed, trick.want == "crashed" && !codec.Crashed, trick.want == "timeout" && !codec.TimedOut, trick.want == "failed" && (codec.Crashed || codec.TimedOut):
				t.Errorf("%+v, want %s", codec, trick.want)
			}
			if failed && (strings.ContainsAny(codec.Message, "\n\x1b\u202e") || !utf8.ValidString(codec.Message)) {
				t.Errorf("the message %q is not fit for a log", codec.Message)
			}
			if o := seen.Load(); o.CPU < 0 || o.CPU > 2*o.Wall+time.Second { // the two are measured at slightly different moments
				t.Errorf("%s of processor time in %s", o.CPU, o.Wall)
			}
			if again, err := p.Encode(t.Context(), good, spec); err != nil || !bytes.Equal(again, want) {
				t.Errorf("a good source after it: %d bytes, %v", len(again), err)
			}
			if trick.want == "crashed" {
				if _, err := p.Encode(t.Context(), []byte(evilPrefix+name), spec); !errors.As(err, &codec) || !codec.Poisoned || !codec.Crashed {
					t.Errorf("once more: %v, want that it is not tried", err)
				}
				if tries := p.Stats().Crashed + p.Stats().Canceled - before.Crashed - before.Canceled; tries != maxCrashes && tries != maxLost {
					t.Errorf("it was tried %d times", tries)
				}
			}
		})
	}
}

// A codec that an image takes over finds nothing of the images before in the memory that it shares with the service.
func TestNothingIsLeftOfOtherImages(t *testing.T) {
	s := patient(t)
	s.Command = append(s.Command, evilArgument)
	s.MaxSource, s.MaxResult = keepSource+2<<20, keepResult+2<<20
	p := pool(t, s)
	spec := transform.Spec{Output: transform.WebP, Width: 3840, Quality: 75}
	longest := 0
	for name, before := range map[string][][]byte{
		"shorter and shorter":  {pngOf(t, picture(900, 700)), pngOf(t, picture(300, 200)), pngOf(t, picture(30, 20))},
		"longer":               {pngOf(t, picture(30, 20)), pngOf(t, picture(900, 700))},
		"more than is kept":    {make([]byte, keepSource+1<<20), bytes.Repeat([]byte{1}, keepSource+1<<20)},
		"a large result":       {[]byte(evilPrefix + "a large result")},
		"what fails":           {bytes.Repeat([]byte{1}, 1<<20)},
		"exactly what is kept": {bytes.Repeat([]byte{1}, keepSource)},
	} {
		for _, src := range before {
			var codec *transform.CodecError
			out, err := p.Encode(t.Context(), src, spec)
			if err != nil && !errors.As(err, &codec) {
				t.Fatal(err)
			}
			longest = max(longest, len(out))
		}
		if _, err := p.Encode(t.Context(), []byte(evilPrefix+"look for leftovers"), spec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if longest <= keepResult {
		t.Errorf("the largest result has %d bytes: nothing was shown", longest)
	}
}

// When the wall clock ends a job its slot is back within a tenth of a second, however much memory the process leaves
// to the kernel.
func TestSlotIsBackSoonAfterATimeLimit(t *testing.T) {
	const within = 100 * time.Millisecond
	limit := within
	if race.Enabled {
		limit *= 10 // which every start of a process pays
	}
	best := time.Hour
	for range 12 { // what else runs on the machine delays it
		outcomes := make(chan time.Time, 2)
		var began time.Time
		s := settings(t)
		s.Command = append(s.Command, evilArgument)
		s.Options.Workers, s.Options.Timeout = 1, 500*time.Millisecond
		s.Observe = func(o Outcome) {
			began = time.Now().Add(-o.Wall)
			outcomes <- time.Now()
		}
		p := pool(t, s)
		var codec *transform.CodecError
		if _, err := p.Encode(t.Context(), []byte(evilPrefix+"take memory and burn"), transform.Spec{}); !errors.As(err, &codec) || !codec.TimedOut {
			t.Fatalf("%v, want a time-out", err)
		}
		if _, err := p.Encode(t.Context(), jpegOf(t, picture(64, 48)), transform.Spec{Output: transform.WebP, Width: 32, Quality: 75}); err != nil {
			t.Fatal(err)
		}
		best = min(best, began.Sub(<-outcomes))
		if best < within {
			break
		}
	}
	t.Logf("the next job began %s after the end of the one that was killed", best)
	if best > limit {
		t.Errorf("want at most %s", limit)
	}
}

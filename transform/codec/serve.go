package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

// Descriptors a codec process inherits.
const (
	controlFD = 3
	sourceFD  = 4
	resultFD  = 5
)

// settingsEnv carries the childSettings as JSON.
const settingsEnv = "IMGOPT_CODEC"

// preferAsVictim asks the kernel to end a codec rather than the service when memory runs out. Raising the score
// needs no privilege; a kernel that refuses leaves things as they are.
func preferAsVictim() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
}

// introduce gives the process the name that ps and top show; it would be that of a link to the binary.
func introduce() { _ = os.WriteFile("/proc/self/comm", []byte("imgopt-codec"), 0) }

type childSettings struct {
	Options transform.Options
	MaxData uint64
}

// errTooLarge says that a result did not fit into the result area.
var errTooLarge = errors.New("result is larger than the result area")

// Serve is the whole life of a codec process: it takes requests until the service closes the socket. What it
// returns is an error of the set-up or of the protocol, never of an image.
func Serve() error {
	introduce()
	preferAsVictim()
	var settings childSettings
	if err := json.Unmarshal([]byte(os.Getenv(settingsEnv)), &settings); err != nil {
		return fmt.Errorf("a codec process is started by the service, not by hand: %s: %w", settingsEnv, err)
	}
	source, err := inheritArea(sourceFD, "source", unix.PROT_READ)
	if err != nil {
		return err
	}
	defer source.close()
	result, err := inheritArea(resultFD, "result", unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return err
	}
	defer result.close()
	if err := libvips.Start(); err != nil {
		return err
	}
	restrictions, err := restrict(settings.MaxData)
	if err != nil {
		return err
	}
	if err := send(reply{status: replyReady, message: restrictions}.append(nil)); err != nil {
		return err
	}
	return serve(source.data, result.data, settings.Options)
}

func serve(source, result []byte, opts transform.Options) error {
	packet := make([]byte, maxMessage)
	for {
		n, err := receive(packet)
		if err != nil || n == 0 { // 0: the service has gone, or wants this process to
			return err
		}
		if isMany(packet[:n]) {
			if err := serveMany(packet[:n], source, result, opts); errors.Is(err, errServiceGone) {
				return nil
			} else if err != nil {
				return err
			}
			continue
		}
		req, err := parseRequest(packet[:n], len(source))
		if err != nil {
			return err
		}
		var stages transform.Stages
		rep := work(req.seq, result, func(use func([]byte) error) error {
			return libvips.Run(transform.WithStages(context.Background(), &stages), source[:req.source], req.spec, opts, use)
		})
		rep.stages = stages
		if err := send(rep.append(packet[:0])); err != nil {
			return err
		}
	}
}

// errServiceGone says that the service has gone, or wants this process to.
var errServiceGone = errors.New("the service has gone")

// serveMany makes several results. While one is fetched the next one is made already, but not written.
func serveMany(packet, source, result []byte, opts transform.Options) error {
	m, err := parseMany(packet, len(source))
	if err != nil {
		return err
	}
	job := libvips.NewJob(context.Background(), source[:m.source], m.specs, opts)
	defer job.Close()
	answer := make([]byte, 0, maxMessage)
	for i := range m.specs {
		seq := m.seq + uint64(i)
		taken := i == 0
		await := func() error {
			if taken {
				return nil
			}
			taken = true
			return awaitNext(seq - 1)
		}
		var lost error
		rep := work(seq, result, func(use func([]byte) error) error {
			return job.Next(func(encoded []byte) error {
				if lost = await(); lost != nil {
					return lost
				}
				return use(encoded)
			})
		})
		if lost == nil {
			lost = await() // where there is no result
		}
		if lost != nil {
			return lost
		}
		if err := send(rep.append(answer)); err != nil {
			return err
		}
	}
	return nil
}

// awaitNext waits until the service has taken the result with that number.
func awaitNext(seq uint64) error {
	var packet [nextSize + 1]byte // one more: a longer packet is seen, not cut to size
	n, err := receive(packet[:])
	switch {
	case err != nil:
		return err
	case n == 0:
		return errServiceGone
	}
	taken, err := parseNext(packet[:n])
	if err == nil && taken != seq {
		err = fmt.Errorf("%w: %d was taken, not %d", ErrProtocol, taken, seq)
	}
	return err
}

// work makes one result and puts it into the result area.
func work(seq uint64, result []byte, encode func(use func(encoded []byte) error) error) reply {
	before := processCPU()
	rep := reply{seq: seq}
	err := encode(func(encoded []byte) error {
		if len(encoded) > len(result) {
			return errTooLarge
		}
		rep.result = copy(result, encoded)
		return nil
	})
	var codec *transform.CodecError
	switch {
	case err == nil:
	case errors.Is(err, errTooLarge):
		rep.status, rep.message = replyTooLarge, err.Error()
	case errors.As(err, &codec) && codec.TimedOut:
		rep.status, rep.message = replyTimedOut, codec.Message
	case errors.As(err, &codec):
		rep.status, rep.message = replyCodecError, codec.Message
	default:
		rep.status, rep.message = replyCodecError, err.Error()
	}
	rep.cpu = processCPU() - before
	return rep
}

// processCPU is the processor time of the process: libvips works on a thread of its own beside this one.
func processCPU() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func send(packet []byte) error {
	for {
		err := unix.Sendto(controlFD, packet, unix.MSG_NOSIGNAL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("answering the service: %w", err)
		}
		return nil
	}
}

func receive(packet []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(controlFD, packet, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("waiting for a request: %w", err)
		}
		return n, nil
	}
}

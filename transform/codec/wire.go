package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"imgopt/transform"
)

// Two processes of one binary talk over a SOCK_SEQPACKET pair: one message, one packet. The pixels do not travel
// here but through two shared memory areas (memory.go); a message only says how much of them counts.

// maxMessage bounds a packet; the longest ones carry a codec's error text, or what maxOutputs results are to be.
const maxMessage = 1024

// maxOutputs is how many results of one source can be asked for at once: Next.js' widths in all formats are 48.
const maxOutputs = 128

// Magic numbers tell the messages apart and catch a peer that is out of step.
const (
	magicRequest = 0x51504f49 // "IOPQ"
	magicReply   = 0x52504f49 // "IOPR"
	magicMany    = 0x4d504f49 // "IOPM"
	magicNext    = 0x4e504f49 // "IOPN"
)

// ErrProtocol says that a peer sent something that is no message.
var ErrProtocol = errors.New("codec protocol")

// outputs gives the media types numbers; anything else travels as 0, "the source's own format".
var outputs = []string{"", transform.JPEG, transform.PNG, transform.WebP, transform.AVIF}

type request struct {
	seq    uint64
	source int // bytes in the source area
	spec   transform.Spec
}

type replyStatus uint8

const (
	replyOK replyStatus = iota
	replyCodecError
	replyTimedOut
	replyTooLarge // the result does not fit into the result area
	replyReady    // sent once after start: message says which restrictions hold
)

type reply struct {
	seq     uint64
	status  replyStatus
	result  int           // bytes in the result area
	cpu     time.Duration // processor time of this job
	stages  transform.Stages
	message string
}

// appendSpec writes what one result is to be, in specSize bytes.
func appendSpec(b []byte, spec transform.Spec) []byte {
	output := 0
	for i, media := range outputs {
		if media == spec.Output {
			output = i
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(spec.Width))
	return append(b, byte(spec.Quality), byte(output))
}

const specSize = 4 + 1 + 1

func parseSpec(b []byte) (transform.Spec, error) {
	output := int(b[5])
	if output >= len(outputs) {
		return transform.Spec{}, fmt.Errorf("%w: output %d", ErrProtocol, output)
	}
	return transform.Spec{Output: outputs[output], Width: int(binary.LittleEndian.Uint32(b)), Quality: int(b[4])}, nil
}

func (r request) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magicRequest)
	b = binary.LittleEndian.AppendUint64(b, r.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.source))
	return appendSpec(b, r.spec)
}

const requestSize = 4 + 8 + 8 + specSize

func parseRequest(b []byte, sourceArea int) (request, error) {
	if len(b) != requestSize || binary.LittleEndian.Uint32(b) != magicRequest {
		return request{}, fmt.Errorf("%w: %d bytes are no request", ErrProtocol, len(b))
	}
	source := binary.LittleEndian.Uint64(b[12:])
	if source > uint64(sourceArea) {
		return request{}, fmt.Errorf("%w: a source of %d bytes in an area of %d", ErrProtocol, source, sourceArea)
	}
	spec, err := parseSpec(b[20:])
	if err != nil {
		return request{}, err
	}
	return request{seq: binary.LittleEndian.Uint64(b[4:]), source: int(source), spec: spec}, nil
}

// many asks for several results of one source. The result area holds one at a time: the answer to the n-th, from 0, has
// the number seq + n, and the one after it is written when a next with that number has arrived.
type many struct {
	seq    uint64
	source int // bytes in the source area
	specs  []transform.Spec
}

const manySize = 4 + 8 + 8 // and specSize for each

func (m many) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magicMany)
	b = binary.LittleEndian.AppendUint64(b, m.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.source))
	for _, spec := range m.specs {
		b = appendSpec(b, spec)
	}
	return b
}

func isMany(b []byte) bool { return len(b) >= 4 && binary.LittleEndian.Uint32(b) == magicMany }

func parseMany(b []byte, sourceArea int) (many, error) {
	if !isMany(b) || len(b) < manySize+specSize || len(b) > manySize+maxOutputs*specSize || (len(b)-manySize)%specSize != 0 {
		return many{}, fmt.Errorf("%w: %d bytes are no request for several results", ErrProtocol, len(b))
	}
	source := binary.LittleEndian.Uint64(b[12:])
	if source > uint64(sourceArea) {
		return many{}, fmt.Errorf("%w: a source of %d bytes in an area of %d", ErrProtocol, source, sourceArea)
	}
	m := many{seq: binary.LittleEndian.Uint64(b[4:]), source: int(source)}
	for b = b[manySize:]; len(b) > 0; b = b[specSize:] {
		spec, err := parseSpec(b)
		if err != nil {
			return many{}, err
		}
		m.specs = append(m.specs, spec)
	}
	return m, nil
}

const nextSize = 4 + 8

// appendNext says that the result with the number seq was taken.
func appendNext(b []byte, seq uint64) []byte {
	b = binary.LittleEndian.AppendUint32(b, magicNext)
	return binary.LittleEndian.AppendUint64(b, seq)
}

func parseNext(b []byte) (seq uint64, err error) {
	if len(b) != nextSize || binary.LittleEndian.Uint32(b) != magicNext {
		return 0, fmt.Errorf("%w: %d bytes are no request for the next result", ErrProtocol, len(b))
	}
	return binary.LittleEndian.Uint64(b[4:]), nil
}

func (r reply) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magicReply)
	b = binary.LittleEndian.AppendUint64(b, r.seq)
	b = append(b, byte(r.status))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.result))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.cpu))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.stages.Pixels))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.stages.Encode))
	return append(b, r.message[:min(len(r.message), maxMessage-replySize)]...)
}

const replySize = 4 + 8 + 1 + 8 + 8 + 8 + 8

func parseReply(b []byte, resultArea int) (reply, error) {
	if len(b) < replySize || len(b) > maxMessage || binary.LittleEndian.Uint32(b) != magicReply {
		return reply{}, fmt.Errorf("%w: %d bytes are no reply", ErrProtocol, len(b))
	}
	r := reply{
		seq:    binary.LittleEndian.Uint64(b[4:]),
		status: replyStatus(b[12]),
		cpu:    time.Duration(binary.LittleEndian.Uint64(b[21:])),
		stages: transform.Stages{
			Pixels: time.Duration(binary.LittleEndian.Uint64(b[29:])),
			Encode: time.Duration(binary.LittleEndian.Uint64(b[37:])),
		},
		message: string(b[replySize:]),
	}
	result := binary.LittleEndian.Uint64(b[13:])
	if r.status > replyReady || result > uint64(resultArea) {
		return reply{}, fmt.Errorf("%w: status %d, a result of %d bytes in an area of %d", ErrProtocol, r.status, result, resultArea)
	}
	r.result = int(result)
	return r, nil
}

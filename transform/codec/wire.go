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

// maxMessage bounds a packet; the longest one carries a codec's error text.
const maxMessage = 1024

// Magic numbers tell the messages apart and catch a peer that is out of step.
const (
	magicRequest = 0x51504f49 // "IOPQ"
	magicReply   = 0x52504f49 // "IOPR"
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
	message string
}

func (r request) append(b []byte) []byte {
	output := 0
	for i, media := range outputs {
		if media == r.spec.Output {
			output = i
		}
	}
	b = binary.LittleEndian.AppendUint32(b, magicRequest)
	b = binary.LittleEndian.AppendUint64(b, r.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.source))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.spec.Width))
	return append(b, byte(r.spec.Quality), byte(output))
}

const requestSize = 4 + 8 + 8 + 4 + 1 + 1

func parseRequest(b []byte, sourceArea int) (request, error) {
	if len(b) != requestSize || binary.LittleEndian.Uint32(b) != magicRequest {
		return request{}, fmt.Errorf("%w: %d bytes are no request", ErrProtocol, len(b))
	}
	source := binary.LittleEndian.Uint64(b[12:])
	output := int(b[25])
	if source > uint64(sourceArea) || output >= len(outputs) {
		return request{}, fmt.Errorf("%w: a source of %d bytes in an area of %d, output %d", ErrProtocol, source, sourceArea, output)
	}
	return request{
		seq:    binary.LittleEndian.Uint64(b[4:]),
		source: int(source),
		spec: transform.Spec{
			Output:  outputs[output],
			Width:   int(binary.LittleEndian.Uint32(b[20:])),
			Quality: int(b[24]),
		},
	}, nil
}

func (r reply) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magicReply)
	b = binary.LittleEndian.AppendUint64(b, r.seq)
	b = append(b, byte(r.status))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.result))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.cpu))
	return append(b, r.message[:min(len(r.message), maxMessage-replySize)]...)
}

const replySize = 4 + 8 + 1 + 8 + 8

func parseReply(b []byte, resultArea int) (reply, error) {
	if len(b) < replySize || len(b) > maxMessage || binary.LittleEndian.Uint32(b) != magicReply {
		return reply{}, fmt.Errorf("%w: %d bytes are no reply", ErrProtocol, len(b))
	}
	r := reply{
		seq:     binary.LittleEndian.Uint64(b[4:]),
		status:  replyStatus(b[12]),
		cpu:     time.Duration(binary.LittleEndian.Uint64(b[21:])),
		message: string(b[replySize:]),
	}
	result := binary.LittleEndian.Uint64(b[13:])
	if r.status > replyReady || result > uint64(resultArea) {
		return reply{}, fmt.Errorf("%w: status %d, a result of %d bytes in an area of %d", ErrProtocol, r.status, result, resultArea)
	}
	r.result = int(result)
	return r, nil
}

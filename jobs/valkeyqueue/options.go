package valkeyqueue

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"imgopt/jobs"
	"imgopt/valkey"
)

// Options configures a Queue. Zero values mean the defaults where there are some.
type Options struct {
	// Client is the connection; the queue does not close it.
	Client *valkey.Client
	// Version is the pipeline's version, at most 200 bytes. Processes of different versions have different queues.
	Version string
	// Limits bound the queue of all processes, for each that works: two workers, twice as much. Each Enqueue goes by those
	// of its own process.
	Limits jobs.Limits
	// Replica is the process's name for operators, at most 64 letters, digits, '.', '_' and '-'; other characters become
	// '-'. By default the host's name. It need not be unique: a random part is added.
	Replica string
	// Worker says that this process works on jobs. One that does not can only enqueue them: its Lease just waits.
	Worker bool
	// ResultTTL is how long it is known that a job was done, ErrorTTL that it failed: those who ask again meanwhile get
	// the same answer, unless the Outcome says how long. By default 10 s and 5 s; below 0: not at all, whatever it says.
	ResultTTL, ErrorTTL time.Duration
	// Beat is how often a process shows that it lives, by default every second. After five without one it is dead.
	Beat time.Duration
	// Log gets what an operator must see; nil means slog.Default().
	Log *slog.Logger

	patience time.Duration // factor of all time limits; more than 1 for tests on a busy machine
}

const (
	defaultResultTTL = 10 * time.Second
	defaultErrorTTL  = 5 * time.Second
	defaultBeat      = time.Second
	// deadAfter is how many beats a process may miss.
	deadAfter   = 5
	maxVersion  = 200
	maxReplica  = 64
	maxTTL      = time.Hour
	hashLen     = 12 // base32 digits: 60 bits tell a deployment's versions apart
	instanceLen = 8  // of the random part of a replica's name
)

func (o *Options) setDefaults() error {
	switch {
	case o.Client == nil:
		return errors.New("valkey queue: no client")
	case o.Version == "" || len(o.Version) > maxVersion:
		return fmt.Errorf("valkey queue: a version of %d bytes: must have 1 to %d", len(o.Version), maxVersion)
	case o.Limits.Interactive < 1 || o.Limits.Background < 1 || o.Limits.Interactive > math.MaxInt32 || o.Limits.Background > math.MaxInt32:
		return errors.New("valkey queue: limits must be at least 1")
	case !(o.Limits.OriginShare >= 0 && o.Limits.OriginShare <= 1):
		return fmt.Errorf("valkey queue: the share of one origin is %v, must be above 0 and up to 1", o.Limits.OriginShare)
	case o.Beat < 0 || o.Beat > time.Minute:
		return fmt.Errorf("valkey queue: a beat of %v: must be up to a minute", o.Beat)
	case o.ResultTTL > maxTTL || o.ErrorTTL > maxTTL:
		return fmt.Errorf("valkey queue: ResultTTL %v, ErrorTTL %v: must be up to %v", o.ResultTTL, o.ErrorTTL, maxTTL)
	}
	for _, d := range []struct {
		value   *time.Duration
		initial time.Duration
	}{{&o.ResultTTL, defaultResultTTL}, {&o.ErrorTTL, defaultErrorTTL}, {&o.Beat, defaultBeat}} {
		if *d.value == 0 {
			*d.value = d.initial
		}
	}
	if o.Limits.OriginShare == 0 {
		o.Limits.OriginShare = 1
	}
	if o.patience == 0 {
		o.patience = 1
	}
	if o.Replica == "" {
		o.Replica, _ = os.Hostname() // a name without a host is still unique
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return nil
}

var digits = base32.StdEncoding.WithPadding(base32.NoPadding)

// tagOf returns the hash tag of a version's queue.
func tagOf(version string) string {
	sum := sha256.Sum256([]byte(format + "\x00" + version))
	return "q" + digits.EncodeToString(sum[:])[:hashLen]
}

// instance makes a name that no other process has, nor the one before it on this host: what that had leased is not ours.
func instance(replica string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '-'
	}, replica)
	if len(name) > maxReplica {
		name = name[:maxReplica]
	}
	return name + "-" + strings.ToLower(rand.Text()[:instanceLen])
}

// newToken makes a token that no other lease has.
func newToken() string { return rand.Text() }

package jobs

import "fmt"

// Kind says why a job is done. It is passed to the work function and labels metrics; it does not change the key.
type Kind uint8

const (
	// Miss makes a variant that a client waits for.
	Miss Kind = iota
	// Revalidate renews a variant whose stale form has been served.
	Revalidate
	// Prewarm makes a variant before anybody asks for it.
	Prewarm
)

var kinds = [...]string{Miss: "miss", Revalidate: "revalidate", Prewarm: "prewarm"}

// String returns "miss", "revalidate" or "prewarm".
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText returns the kind's name.
func (k Kind) MarshalText() ([]byte, error) {
	if int(k) >= len(kinds) {
		return nil, fmt.Errorf("unknown job kind %d", uint8(k))
	}
	return []byte(kinds[k]), nil
}

// UnmarshalText reads a kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kinds {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown job kind %q", text)
}

// Priority orders jobs: background work starts only while no interactive job is ready.
type Priority uint8

const (
	// Interactive jobs have, or had when they were enqueued, somebody who waits.
	Interactive Priority = iota
	// Background jobs have nobody who waits.
	Background
	priorities = 2
)

// String returns "interactive" or "background".
func (p Priority) String() string {
	if p == Interactive {
		return "interactive"
	}
	return "background"
}

// Job is a piece of work. Callers of Do and Submit set Key, Kind and Spec; the rest is set for the work function.
type Job struct {
	Key  Key
	Kind Kind
	Spec Spec

	// Attempt counts from 1. Attempts cut short by a dead process or a lost lease count too.
	Attempt int
	// Priority the job had when this attempt began: Interactive means that somebody waits for it.
	Priority Priority
}

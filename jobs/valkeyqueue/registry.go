package valkeyqueue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"imgopt/valkey"
)

// registerEvery is how often a version is registered as being in use, forgottenAfter when its queue is deleted.
const (
	registerEvery  = 10 * time.Minute
	forgottenAfter = 24 * time.Hour
)

// register notes that this version's queue is in use, and deletes those that are not any more.
func (q *Queue) register(ctx context.Context) error {
	all, err := q.registered(ctx, q.o.Version)
	if err != nil {
		return err
	}
	for version, seen := range all {
		if seen < forgottenAfter {
			continue
		}
		if err := q.wipe(ctx, version); err != nil {
			return err
		}
	}
	return nil
}

// registered returns when each version was last in use. version is noted as being so, unless it is "".
func (q *Queue) registered(ctx context.Context, version string) (map[string]time.Duration, error) {
	m, err := scripts.registry.Run(ctx, q.o.Client, callWithin, []string{q.registry()}, []string{version})
	var list []string
	if err == nil {
		list, err = texts(m)
	}
	if err != nil {
		return nil, q.failure(ctx, "reading the registry of queues", err)
	}
	all := make(map[string]time.Duration, len(list)/2)
	for ; len(list) >= 2; list = list[2:] {
		seconds, err := strconv.ParseFloat(list[1], 64)
		if err != nil {
			return nil, fmt.Errorf("reading the registry of queues: %w", err)
		}
		all[list[0]] = duration(seconds * 1e6)
	}
	return all, nil
}

func (q *Queue) registry() string { return q.o.Client.Key("queues", "") }

// wipe deletes the queue of a version that nobody uses.
func (q *Queue) wipe(ctx context.Context, version string) error {
	base := q.o.Client.Key(tagOf(version), "")
	for {
		m, err := scripts.wipe.Run(ctx, q.o.Client, callWithin, []string{base}, []string{strconv.FormatInt(forgottenAfter.Milliseconds(), 10)})
		var more int64
		if err == nil {
			more, err = m.AsInt64()
		}
		if err != nil {
			return q.failure(ctx, "deleting an old queue", err)
		}
		if more < 0 {
			return nil
		}
		if more > 0 {
			continue
		}
		_, err = q.o.Client.Do(ctx, q.registry(), callWithin, func(b valkey.Builder) valkey.Command {
			return b.Zrem().Key(q.registry()).Member(version).Build()
		})
		return q.failure(ctx, "deleting an old queue", err)
	}
}

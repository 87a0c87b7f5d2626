package valkeycache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"imgopt/cache"
	"imgopt/valkey"
)

// Purges is the log of purges that replicas share: a sorted set of Purge.Code by stamp. Its member of score 0 is the
// log's id, so that the two cannot be lost apart.
//
// A stamp is the server's time in microseconds, or more where that would not be later than what is there and what the
// caller has seen. So no replica's clock matters, and the stamps of a server that has lost its memory go on where they
// were.
type Purges struct {
	c            *valkey.Client
	key, channel string
}

var _ cache.SharedPurges = (*Purges)(nil)

// Bounds of the log: what is beyond is folded into a purge of everything made before, as cache.Purges does.
const (
	maxRecords = 10_000
	foldTo     = 7_500
	// logWithin bounds one command on the log: nobody's request waits for it, and the whole log may be a megabyte.
	logWithin = 2 * time.Second
)

// NewPurges returns the log of purges of those who have the client's prefix.
func NewPurges(c *valkey.Client) *Purges {
	return &Purges{c: c, key: c.Key("purges", ""), channel: c.Key("purges", "changed")}
}

// appendScript adds a purge: KEYS log, channel; ARGV code, seen, id if there is none. It returns the stamp and how many
// heard. Purging must work when memory is full.
var appendScript = valkey.NewScript(`#!lua flags=allow-oom
local log = KEYS[1]
local time = redis.call('TIME')
local last = redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')
local stamp = math.max(time[1] * 1000000 + time[2], (tonumber(last[2]) or 0) + 1, tonumber(ARGV[2]) + 1)
if ARGV[1] == 'a' then
  redis.call('ZREMRANGEBYSCORE', log, '(0', string.format('%.0f', stamp))
end
redis.call('ZADD', log, string.format('%.0f', stamp), ARGV[1])
if redis.call('ZCOUNT', log, 0, 0) == 0 then
  redis.call('ZADD', log, 0, 'i' .. ARGV[3])
end
local excess = redis.call('ZCARD', log) - 1 - tonumber(ARGV[4])
if excess > 0 then
  local remove = excess + tonumber(ARGV[4]) - tonumber(ARGV[5])
  local floor = redis.call('ZRANGE', log, remove, remove, 'WITHSCORES')
  redis.call('ZREMRANGEBYRANK', log, 1, remove)
  redis.call('ZADD', log, 'GT', floor[2], 'a')
end
return {string.format('%.0f', stamp), redis.call('SPUBLISH', KEYS[2], 'changed')}
`, false)

// Append adds a purge.
func (p *Purges) Append(ctx context.Context, purge cache.Purge, seen uint64) (stamp uint64, heard int, err error) {
	m, err := appendScript.Run(ctx, p.c, logWithin, []string{p.key, p.channel},
		[]string{purge.Code(), strconv.FormatUint(seen, 10), rand.Text(), strconv.Itoa(maxRecords), strconv.Itoa(foldTo)})
	if err != nil {
		return 0, 0, fmt.Errorf("adding to the log of purges: %w", err)
	}
	reply, err := m.ToArray()
	if err != nil || len(reply) != 2 {
		return 0, 0, fmt.Errorf("adding to the log of purges: unexpected answer: %w", err)
	}
	stamp, err1 := reply[0].AsUint64()
	n, err2 := reply[1].AsInt64()
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, fmt.Errorf("adding to the log of purges: unexpected answer: %w", err)
	}
	return stamp, int(n), nil
}

// readScript returns the id, and the records after a stamp if the id is the given one, else all.
var readScript = valkey.NewScript(`
local id = redis.call('ZRANGE', KEYS[1], 0, 0, 'BYSCORE')[1] or ''
local from = '(0'
if id ~= '' and id == ARGV[1] then from = '(' .. ARGV[2] end
return {id, redis.call('ZRANGE', KEYS[1], from, '+inf', 'BYSCORE', 'WITHSCORES')}
`, true)

// Read returns what is new.
func (p *Purges) Read(ctx context.Context, id string, after uint64) (cache.SharedLog, error) {
	m, err := readScript.Run(ctx, p.c, logWithin, []string{p.key}, []string{id, strconv.FormatUint(after, 10)})
	if err != nil {
		return cache.SharedLog{}, fmt.Errorf("reading the log of purges: %w", err)
	}
	log, err := parseLog(m)
	if err != nil {
		return cache.SharedLog{}, fmt.Errorf("reading the log of purges: unexpected answer: %w", err)
	}
	log.Whole = log.ID == "" || log.ID != id
	return log, nil
}

func parseLog(m valkey.Message) (log cache.SharedLog, err error) {
	reply, err := m.ToArray()
	if err != nil {
		return log, err
	}
	if len(reply) != 2 {
		return log, fmt.Errorf("%d elements", len(reply))
	}
	if log.ID, err = reply[0].ToString(); err != nil {
		return log, err
	}
	records, err := reply[1].AsStrSlice()
	if err != nil {
		return log, err
	}
	for i := 0; i+1 < len(records); i += 2 {
		stamp, err := strconv.ParseFloat(records[i+1], 64) // below 2^53, so exact
		if err != nil || stamp < 1 || stamp >= 1<<53 {
			return log, fmt.Errorf("stamp %q", records[i+1])
		}
		purge, err := cache.ParsePurge(records[i])
		if err != nil {
			return log, err
		}
		log.Records = append(log.Records, cache.PurgeRecord{Purge: purge, Stamp: uint64(stamp)})
	}
	return log, nil
}

// mergeScript raises the stamps of what is given to at least those given: KEYS log, channel; ARGV a new id, and pairs of
// stamp and code.
var mergeScript = valkey.NewScript(`#!lua flags=allow-oom
local changed = 0
for i = 2, #ARGV, 2 do
  changed = changed + redis.call('ZADD', KEYS[1], 'GT', 'CH', ARGV[i], ARGV[i + 1])
end
if changed > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, 0)
  redis.call('ZADD', KEYS[1], 0, 'i' .. ARGV[1])
  redis.call('SPUBLISH', KEYS[2], 'changed')
end
return changed
`, true)

// mergeAtOnce is how many records one script is given: Lua's stack has a limit, and a server one command at a time.
const mergeAtOnce = 500

// Merge adds records that were lost.
func (p *Purges) Merge(ctx context.Context, records []cache.PurgeRecord) error {
	for len(records) > 0 {
		n := min(len(records), mergeAtOnce)
		args := []string{rand.Text()}
		for _, r := range records[:n] {
			args = append(args, strconv.FormatUint(r.Stamp, 10), r.Code())
		}
		if _, err := mergeScript.Run(ctx, p.c, logWithin, []string{p.key, p.channel}, args); err != nil {
			return fmt.Errorf("restoring the log of purges: %w", err)
		}
		records = records[n:]
	}
	return nil
}

// Watch listens for changes.
func (p *Purges) Watch(ctx context.Context, changed func()) {
	stop := p.c.Subscribe(p.channel, valkey.Listener{Joined: changed, Message: func(string) { changed() }})
	<-ctx.Done()
	stop()
}

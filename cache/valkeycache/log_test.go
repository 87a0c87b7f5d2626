package valkeycache_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/cache/valkeycache"
	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func mustAppend(t *testing.T, p *valkeycache.Purges, what cache.Purge, seen uint64) uint64 {
	t.Helper()
	stamp, _, err := p.Append(t.Context(), what, seen)
	if err != nil {
		t.Fatal(err)
	}
	return stamp
}

func mustRead(t *testing.T, p *valkeycache.Purges, id string, after uint64) cache.SharedLog {
	t.Helper()
	log, err := p.Read(t.Context(), id, after)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestLog(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	cluster := valkeytest.StartCluster(t, 3, 0, true, valkeytest.Options{})
	for name, url := range map[string]string{"single": server.URL(), "cluster": cluster.URL()} {
		t.Run(name, func(t *testing.T) {
			p := valkeycache.NewPurges(connect(t, url, newPrefix()))
			if log := mustRead(t, p, "", 0); log.ID != "" || !log.Whole || len(log.Records) != 0 {
				t.Errorf("no log: %+v", log)
			}
			before := uint64(time.Now().Add(-time.Minute).UnixMicro())
			a := mustAppend(t, p, cache.Purge{URL: "/a \x00ü"}, 1)
			b := mustAppend(t, p, cache.Purge{Prefix: "/b"}, 1)
			ahead := uint64(time.Now().Add(time.Hour).UnixMicro())
			c := mustAppend(t, p, cache.Purge{URL: "/c"}, ahead)
			d := mustAppend(t, p, cache.Purge{URL: "/d"}, 1)
			if a <= before || b <= a || c != ahead+1 || d <= c {
				t.Errorf("stamps %d, %d, %d (ahead of %d), %d", a, b, c, ahead, d)
			}
			log := mustRead(t, p, "other", 0)
			want := []cache.PurgeRecord{
				{Purge: cache.Purge{URL: "/a \x00ü"}, Stamp: a}, {Purge: cache.Purge{Prefix: "/b"}, Stamp: b},
				{Purge: cache.Purge{URL: "/c"}, Stamp: c}, {Purge: cache.Purge{URL: "/d"}, Stamp: d},
			}
			if fmt.Sprint(log.Records) != fmt.Sprint(want) || !log.Whole || log.ID == "" {
				t.Errorf("got %+v", log)
			}
			if got := mustRead(t, p, log.ID, b); got.Whole || fmt.Sprint(got.Records) != fmt.Sprint(want[2:]) {
				t.Errorf("what is new: %+v", got)
			}
			if got := mustRead(t, p, log.ID, d); got.Whole || len(got.Records) != 0 {
				t.Errorf("nothing is new: %+v", got)
			}
			again := mustAppend(t, p, cache.Purge{Prefix: "/b"}, 1) // replaces the earlier one
			all := mustAppend(t, p, cache.Purge{All: true}, 1)
			if got := mustRead(t, p, log.ID, 0); len(got.Records) != 1 || got.Records[0].Stamp != all || all <= again || got.ID != log.ID {
				t.Errorf("after a purge of everything: %+v", got)
			}

			// merging what is known changes nothing; what is not is added with its stamp, under another id
			if err := p.Merge(t.Context(), []cache.PurgeRecord{{Purge: cache.Purge{All: true}, Stamp: 5}}); err != nil {
				t.Fatal(err)
			}
			if got := mustRead(t, p, log.ID, 0); got.Whole || got.Records[0].Stamp != all {
				t.Errorf("after merging what is older: %+v", got)
			}
			var many []cache.PurgeRecord
			for i := range 2000 {
				many = append(many, cache.PurgeRecord{Purge: cache.Purge{URL: fmt.Sprint("/", i)}, Stamp: uint64(i + 2)})
			}
			if err := p.Merge(t.Context(), many); err != nil {
				t.Fatal(err)
			}
			if got := mustRead(t, p, log.ID, all); !got.Whole || len(got.Records) != 2001 || got.ID == log.ID || got.Records[0].Stamp != 2 {
				t.Errorf("after a merge: whole %t, %d records", got.Whole, len(got.Records))
			}
		})
	}
}

// The log stays bounded, and no purge is forgotten.
func TestLogFolds(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	c := connect(t, server.URL(), prefix)
	p := valkeycache.NewPurges(c)
	first := mustAppend(t, p, cache.Purge{URL: "/first"}, 1)
	var many []cache.PurgeRecord
	for i := range 9_999 {
		many = append(many, cache.PurgeRecord{Purge: cache.Purge{URL: fmt.Sprint("/", i)}, Stamp: uint64(i + 2)})
	}
	if err := p.Merge(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	last := mustAppend(t, p, cache.Purge{URL: "/last"}, 1)
	log := mustRead(t, p, "", 0)
	if len(log.Records) != 7501 {
		t.Errorf("%d records", len(log.Records))
	}
	kept := map[string]uint64{}
	var all uint64
	for _, r := range log.Records {
		kept[r.URL] = r.Stamp
		if r.All {
			all = r.Stamp
		}
	}
	for _, r := range many {
		if max(kept[r.URL], all) < r.Stamp {
			t.Fatalf("%+v is forgotten: everything before %d is purged", r, all)
		}
	}
	if kept["/first"] != first || kept["/last"] != last || all != 2502 {
		t.Errorf("first %d, last %d, all %d", kept["/first"], kept["/last"], all)
	}
}

func TestLogFailures(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	c := connect(t, server.URL(), prefix)
	p := valkeycache.NewPurges(c)
	key := c.Key("purges", "")
	for _, bad := range []string{"x", "u", "", "pé\x00"[:1]} {
		server.Do("DEL", key)
		server.Do("ZADD", key, "0", "iabc", "7", bad)
		if log, err := p.Read(t.Context(), "", 0); err == nil {
			t.Errorf("%q: %+v", bad, log)
		}
	}
	server.Do("SET", key, "x")
	if _, err := p.Read(t.Context(), "", 0); err == nil {
		t.Error("a string was read")
	}
	if _, _, err := p.Append(t.Context(), cache.Purge{All: true}, 1); err == nil {
		t.Error("a string was added to")
	}
	server.Do("DEL", key)
	server.SetMaxMemory(1<<20, "noeviction")
	mustAppend(t, p, cache.Purge{All: true}, 1) // also when memory is full
	if err := p.Merge(t.Context(), []cache.PurgeRecord{{Purge: cache.Purge{URL: "/a"}, Stamp: 2}}); err != nil {
		t.Error(err)
	}
	server.Kill()
	if _, _, err := p.Append(t.Context(), cache.Purge{All: true}, 1); !errors.Is(err, valkey.ErrDown) {
		t.Errorf("without a server: %v", err)
	}
	if err := p.Merge(t.Context(), []cache.PurgeRecord{{Purge: cache.Purge{URL: "/a"}, Stamp: 2}}); !errors.Is(err, valkey.ErrDown) {
		t.Errorf("without a server: %v", err)
	}
}

package cache

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() {
	children["write"] = writeForever
	children["hammer"] = hammer
}

const processKeys = 64

// versioned returns an entry whose body tells which version of which key it is, and a mixture from either.
func versioned(n, version, size int) *Entry {
	e := sized(size)
	e.Href = fmt.Sprintf("/%d", n)
	e.MaxAge = int64(version)
	r := rand.New(rand.NewPCG(uint64(n), uint64(version)))
	for i := range e.Body {
		e.Body[i] = byte(r.Uint32())
	}
	return e
}

func checkVersioned(e *Entry, n int) error {
	want := versioned(n, int(e.MaxAge), len(e.Body))
	if e.Href != want.Href || string(e.Body) != string(want.Body) {
		return fmt.Errorf("entry %d is not what any process wrote", n)
	}
	return nil
}

func processKey(n int) Key { return Key{byte(n % 8), byte(n)} }

// writeForever puts entries of all sizes until it is killed, and says so now and then.
func writeForever(args []string) error {
	d, err := OpenDisk(DiskOptions{Path: args[0], MaxBytes: 2 << 20})
	if err != nil {
		return err
	}
	for w := range 3 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for i := 0; ; i++ {
				n := rng.IntN(processKeys)
				if err := d.Put(context.Background(), processKey(n), versioned(n, i*3+w, 1+rng.IntN(150_000))); err != nil {
					panic(err)
				}
				if i%5 == 0 {
					fmt.Println("put", i)
				}
			}
		}()
	}
	select {}
}

// A process killed in the middle of its writes leaves whole entries, and temporary files that are cleaned up.
func TestDiskKilled(t *testing.T) {
	root := t.TempDir()
	found, temps := 0, 0
	for round := range 6 {
		cmd := child(t, "write", root)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 4 + 3*round {
			if !lines.Scan() {
				t.Fatal("the writer ended by itself")
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.String() != "signal: killed" {
			t.Fatalf("the writer ended with %v", cmd.ProcessState)
		}

		timing := defaultTiming
		timing.tempAge = 0
		before, _ := filesIn(t, root)
		d := newDiskWith(t, DiskOptions{Path: root, MaxBytes: 2 << 20}, timing)
		for n := range processKeys {
			switch e, err := d.Get(t.Context(), processKey(n)); {
			case err == nil:
				found++
				if err := checkVersioned(e, n); err != nil {
					t.Error(err)
				}
			case err != ErrMiss:
				t.Errorf("Get: %v", err)
			}
		}
		<-d.Scanned()
		after, cost := filesIn(t, root)
		for _, name := range before {
			if strings.HasSuffix(name, tempSuffix) {
				temps++
			}
		}
		if s := d.Stats(); s.Corrupt != 0 || s.Errors != 0 || s.Entries != int64(len(after)) || s.Bytes != cost || cost > 2<<20 {
			t.Errorf("Stats: %+v; there are %d files that cost %d", s, len(after), cost)
		}
		d.Close()
	}
	t.Logf("%d entries read, %d temporary files left and removed", found, temps)
	if found == 0 {
		t.Error("no entry was found: the test did not test anything")
	}
}

// hammer works on a folder that another process works on as well, and fails if it ever gets what nobody wrote.
func hammer(args []string) error {
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	timing := defaultTiming
	timing.rescan = 5 * time.Millisecond // scans amid everything else
	d, err := openDisk(DiskOptions{Path: args[0], MaxBytes: 1 << 20}, timing)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failures := make(chan error, 2)
	for w := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range 700 {
				if err := hammerOnce(d, rng, i); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		return err
	}
	s := d.Stats()
	if s.Corrupt != 0 || s.Errors != 0 || s.Hits == 0 || s.Evictions == 0 {
		return fmt.Errorf("unexpected: %+v", s)
	}
	return d.Close()
}

func hammerOnce(d *Disk, rng *rand.Rand, i int) error {
	ctx, n := context.Background(), rng.IntN(processKeys)
	switch rng.IntN(10) {
	case 0:
		return d.Delete(ctx, processKey(n))
	case 1, 2, 3:
		return d.Put(ctx, processKey(n), versioned(n, i, 1+rng.IntN(60_000)))
	default:
		e, err := d.Get(ctx, processKey(n))
		if err == nil {
			return checkVersioned(e, n)
		}
		if err == ErrMiss {
			return nil
		}
		return err
	}
}

func TestDiskTwoProcesses(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	for seed := range 2 {
		wg.Go(func() {
			if out, err := child(t, "hammer", root, strconv.Itoa(seed)).CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", seed, err, out)
			}
		})
	}
	wg.Wait()
	d := newDisk(t, root, 1<<20)
	<-d.Scanned()
	names, cost := filesIn(t, root)
	if s := d.Stats(); s.Entries != int64(len(names)) || s.Bytes != cost || cost > 1<<20 || len(names) == 0 || s.Errors != 0 {
		t.Errorf("Stats: %+v; there are %d files that cost %d", s, len(names), cost)
	}
	for n := range processKeys {
		if e, err := d.Get(t.Context(), processKey(n)); err == nil {
			if err := checkVersioned(e, n); err != nil {
				t.Error(err)
			}
		} else if err != ErrMiss {
			t.Errorf("Get: %v", err)
		}
	}
}

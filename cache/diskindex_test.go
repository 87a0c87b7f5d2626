package cache

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// modelFile is a file in the obvious implementation: a list from the least to the most recently used.
type modelFile struct {
	key  Key
	size int64
	used int64
}

// Whatever is done to it, the index evicts in the order of last use and its sums are right.
func TestIndexAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var x diskIndex
	x.init()
	var model []modelFile
	find := func(k Key) int { return slices.IndexFunc(model, func(f modelFile) bool { return f.key == k }) }
	now := int64(1_000_000)
	for step := range 20_000 {
		now += 10
		k := Key{byte(rng.IntN(3)), byte(rng.IntN(20))}
		at := find(k)
		size := int64(1 + rng.IntN(1000))
		switch rng.IntN(6) {
		case 0, 1: // Put
			if _, ok := x.reserve(size, 1<<40); !ok {
				t.Fatal("no room in a terabyte")
			}
			x.commit(k, size, now, now)
			if at >= 0 {
				model = slices.Delete(model, at, at+1)
			}
			model = append(model, modelFile{k, size, now})
		case 2: // Get
			if known := x.hit(k, size, 0, now); known != (at >= 0) {
				t.Fatalf("step %d: hit says known %v", step, known)
			}
			if at >= 0 {
				model[at].used = now
			}
		case 3: // a scan finds a file, used at some time in the past
			used := now - rng.Int64N(100_000)*10 - 5
			x.add(k, size, 0, used)
			if at < 0 {
				model = append(model, modelFile{k, size, used})
			}
		case 4:
			x.remove(k)
			if at >= 0 {
				model = slices.Delete(model, at, at+1)
			}
		case 5:
			slices.SortStableFunc(model, func(a, b modelFile) int { return int(a.used - b.used) })
			// two files found by a scan may have the same time; either may go first
			if len(model) > 1 && model[0].used == model[1].used {
				continue
			}
			v := x.pop()
			if len(model) == 0 {
				if v != nil {
					t.Fatalf("step %d: popped %v from nothing", step, v.key)
				}
				continue
			}
			if v == nil || v.key != model[0].key || v.size != model[0].size {
				t.Fatalf("step %d: popped %+v, want %+v", step, v, model[0])
			}
			if _, bytes := x.size(); !x.departs(v) || bytes < v.size {
				t.Fatalf("step %d: a file that is there is not counted", step)
			}
			model = model[1:]
			if rng.IntN(3) == 0 { // a Get finds it before it is removed
				x.add(v.key, v.size, 0, now)
				model = append(model, modelFile{v.key, v.size, now})
			}
			if stays := find(v.key) >= 0; x.departs(v) == stays {
				t.Fatalf("step %d: departs while it stays: %v", step, stays)
			}
			x.evicted(v)
			x.evicted(v)
		}
		var sum int64
		for _, f := range model {
			sum += f.size
		}
		if entries, bytes := x.size(); entries != int64(len(model)) || bytes != sum {
			t.Fatalf("step %d: %d entries of %d bytes, want %d of %d", step, entries, bytes, len(model), sum)
		}
	}
}

// The clock may stand still or go back; the order of uses does not.
func TestIndexOrderWithoutClock(t *testing.T) {
	var x diskIndex
	x.init()
	for i := range 10 {
		_, _ = x.reserve(1, 100)
		x.commit(Key{byte(i)}, 1, 0, int64(1000-i))
	}
	x.hit(Key{0}, 1, 0, 1)
	for _, want := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 0} {
		if v := x.pop(); v == nil || v.key[0] != want {
			t.Fatalf("popped %v, want %d", v, want)
		}
	}
}

// A newer file than the known one is another process's, with its own size; an older one has been replaced since.
func TestIndexSizeFollowsNewerFile(t *testing.T) {
	var x diskIndex
	x.init()
	x.add(Key{1}, 100, 50, 50)
	for _, tt := range []struct{ size, mtime, want int64 }{{70, 49, 100}, {70, 50, 100}, {70, 51, 70}, {30, 50, 70}} {
		x.hit(Key{1}, tt.size, tt.mtime, 60)
		if _, bytes := x.size(); bytes != tt.want {
			t.Errorf("after a hit on a file of %d bytes from %d: %d bytes, want %d", tt.size, tt.mtime, bytes, tt.want)
		}
	}
}

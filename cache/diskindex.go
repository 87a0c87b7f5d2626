package cache

import (
	"container/heap"
	"sync"
)

// diskIndex orders the files of a disk tier by their last use and sums up what they take.
//
// The order is a heap that lags behind: a hit only notes the time in its node, and the node's place in the heap is
// corrected when it comes up for eviction. The oldest is found exactly, since places are never newer than uses, and
// a hit costs no more than a note; a scan may add files in any order.
type diskIndex struct {
	mu    sync.Mutex
	nodes [256]map[Key]*diskNode // by the key's first byte, as the files are
	order diskHeap
	// bytes is what the files take that nodes, evictions under way and reservations stand for.
	bytes int64
	tick  int64
	asked int64 // bytes of all bodies that again was told of
	// renaming are the keys whose file is being replaced here: what it takes is counted by a reservation until commit.
	renaming map[Key]struct{}
	// leaving are the nodes that were taken out last for a key, to be evicted: their files are there, and counted.
	leaving map[Key]*diskNode
}

// diskNode is one file.
type diskNode struct {
	key   Key
	size  int64 // what it takes: see fileCost
	mtime int64 // the file's modification time as last seen, Unix nanoseconds
	used  int64 // last use, Unix nanoseconds
	place int64 // used when the node got its place in the heap
	at    int   // position in the heap
	// checked is the fileMark of the file when its body was last found to be sound, 0: never.
	checked uint64
	// asked is the index's when again was last told of the key, 0: never.
	asked int64
	// leaving says that it was taken out to be evicted and that its bytes are counted until that is over.
	leaving bool
}

func (x *diskIndex) init() {
	x.renaming, x.leaving = map[Key]struct{}{}, map[Key]*diskNode{}
	for i := range x.nodes {
		x.nodes[i] = map[Key]*diskNode{}
	}
}

// hit notes a use of k at now, of a file with the given size and modification time. It reports whether k is known.
func (x *diskIndex) hit(k Key, size, mtime, now int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.nodes[k[0]][k]
	if n == nil {
		return false
	}
	n.used = x.later(now)
	// A newer file than the node's is another process's. An older one was replaced after it had been opened.
	if _, ours := x.renaming[k]; mtime > n.mtime && !ours {
		x.bytes += size - n.size
		n.size, n.mtime = size, mtime
	}
	return true
}

// check notes that the body of k's file, as it was with that mark, is sound.
func (x *diskIndex) check(k Key, mark uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.nodes[k[0]][k]; n != nil {
		n.checked = mark
	}
}

// sound reports whether check was told of k's file, and with that mark.
func (x *diskIndex) sound(k Key, mark uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.nodes[k[0]][k]
	return n != nil && n.checked == mark
}

// again notes that k, with a body of size bytes, was asked for, and reports whether that happened before and less than
// window bytes of others have been asked for since.
//
// Then it ought to be in memory. The rest is better left where it is: a working set larger than memory that is asked for
// in turn, by a crawler say, would otherwise be read, copied and dropped again all the time, and memory would be none the
// better for it.
func (x *diskIndex) again(k Key, size, window int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.nodes[k[0]][k]
	if n == nil {
		return false
	}
	again := n.asked != 0 && x.asked-n.asked < window
	x.asked += size
	n.asked = x.asked
	return again
}

// rename says that the file of k is about to be replaced by one that a reservation was made for. commit or give follows;
// the caller holds the key's lock until then.
func (x *diskIndex) rename(k Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.renaming[k] = struct{}{}
}

// give says that it was not replaced.
func (x *diskIndex) give(k Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.renaming, k)
}

// later returns now, or a little later, so that no two uses are at the same time.
func (x *diskIndex) later(now int64) int64 {
	x.tick = max(x.tick+1, now)
	return x.tick
}

// commit adds the file of k that a reservation of the same size was made for. Whoever has opened another one by now has
// opened one that this replaced, whenever that was written: of two files the one that was written later may have been
// given its name first. So the node gets the present time for the file's, if that is later.
func (x *diskIndex) commit(k Key, size, mtime, now int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.renaming, k)
	mtime = max(mtime, now)
	if n := x.nodes[k[0]][k]; n != nil {
		x.bytes -= n.size // the file it stood for has been replaced
		n.size, n.mtime, n.used = size, mtime, x.later(now)
		return
	}
	x.push(&diskNode{key: k, size: size, mtime: mtime, used: x.later(now)})
}

// add adds a file that was found, unless it is known. One that is about to be evicted is counted already; now it stays.
func (x *diskIndex) add(k Key, size, mtime, used int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.nodes[k[0]][k] != nil {
		return
	}
	if v := x.leaving[k]; v != nil {
		x.leave(v)
	}
	x.push(&diskNode{key: k, size: size, mtime: mtime, used: used})
	x.bytes += size
}

// leave ends what pop began: the bytes of a node that was taken out no longer count.
func (x *diskIndex) leave(v *diskNode) {
	if !v.leaving {
		return
	}
	v.leaving = false
	x.bytes -= v.size
	if x.leaving[v.key] == v {
		delete(x.leaving, v.key)
	}
}

func (x *diskIndex) push(n *diskNode) {
	n.place = n.used
	x.nodes[n.key[0]][n.key] = n
	heap.Push(&x.order, n)
}

// restore puts a node back that was taken out to be evicted. The caller holds the key's lock and knows from departs that
// it is the file's. size is what the file takes now.
func (x *diskIndex) restore(n *diskNode, size int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leave(n)
	x.bytes += size
	n.size = size
	x.push(n)
}

// departs reports whether the file of k is still the one that n, which was taken out, stands for. It is not if a file
// was found or written since: that has a node, or had one that was taken out in its turn.
func (x *diskIndex) departs(n *diskNode) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.leaving[n.key] == n && x.nodes[n.key[0]][n.key] == nil
}

// evicted says that n, which was taken out, needs no room any more.
func (x *diskIndex) evicted(n *diskNode) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leave(n)
}

// remove forgets k, whose file is gone.
func (x *diskIndex) remove(k Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.nodes[k[0]][k]; n != nil {
		heap.Remove(&x.order, n.at)
		delete(x.nodes[k[0]], k)
		x.bytes -= n.size
	}
}

// pop takes the least recently used node out, or returns nil if there is none. Its bytes stay counted until evicted,
// restore or add, because the file is still there.
func (x *diskIndex) pop() *diskNode {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.popLocked()
}

func (x *diskIndex) popLocked() *diskNode {
	for len(x.order) > 0 {
		n := x.order[0]
		if n.used > n.place {
			n.place = n.used
			heap.Fix(&x.order, 0)
			continue
		}
		heap.Pop(&x.order)
		delete(x.nodes[n.key[0]], n.key)
		n.leaving = true
		x.leaving[n.key] = n
		return n
	}
	return nil
}

// reserve counts size as used if that stays within limit. Otherwise it returns a node to evict before trying again,
// or nil when there is none left.
func (x *diskIndex) reserve(size, limit int64) (victim *diskNode, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bytes+size <= limit {
		x.bytes += size
		return nil, true
	}
	return x.popLocked(), false
}

// release uncounts bytes of a reservation that came to nothing.
func (x *diskIndex) release(size int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bytes -= size
}

func (x *diskIndex) has(k Key) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.nodes[k[0]][k] != nil
}

func (x *diskIndex) size() (entries, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return int64(len(x.order)), x.bytes
}

// compare returns which of the listed keys of a shard have no node, and which nodes are not listed.
func (x *diskIndex) compare(shard byte, listed map[Key]struct{}) (unknown, missing []Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	nodes := x.nodes[shard]
	for k := range listed {
		if nodes[k] == nil {
			unknown = append(unknown, k)
		}
	}
	for k := range nodes {
		if _, ok := listed[k]; !ok {
			missing = append(missing, k)
		}
	}
	return unknown, missing
}

// diskHeap implements heap.Interface: the node with the oldest place comes first.
type diskHeap []*diskNode

func (h diskHeap) Len() int           { return len(h) }
func (h diskHeap) Less(i, j int) bool { return h[i].place < h[j].place }
func (h diskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push appends a *diskNode.
func (h *diskHeap) Push(v any) {
	n := v.(*diskNode)
	n.at = len(*h)
	*h = append(*h, n)
}

// Pop removes the last node.
func (h *diskHeap) Pop() any {
	last := len(*h) - 1
	n := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return n
}

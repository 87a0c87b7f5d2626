package cache

import (
	"cmp"
	"slices"
)

// maxPurges is how many purges a log remembers. Beyond that the older ones are folded into one of everything made
// before the last of them: entries may live for long on disk, so a purge cannot simply be forgotten.
const maxPurges = 10_000

// foldTo is how many purges are left after folding.
const foldTo = maxPurges * 3 / 4

// purgeSet is what a log of purges comes down to: the latest stamp of each purge. It has no lock of its own.
type purgeSet struct {
	urls, prefixes map[string]purgeEntry
	lengths        []int // of the prefixes, ascending, each once
	counts         map[int]int
	all            purgeEntry
	// max is the latest stamp seen.
	max     uint64
	pending int
}

type purgeEntry struct {
	stamp   uint64 // 0: none
	pending bool
}

func newPurgeSet() *purgeSet {
	return &purgeSet{urls: map[string]purgeEntry{}, prefixes: map[string]purgeEntry{}, counts: map[int]int{}, max: firstMark}
}

// add adds a record and reports whether that changed anything.
func (s *purgeSet) add(r PurgeRecord) bool {
	s.max = max(s.max, r.Stamp)
	old := s.get(r.Purge)
	if r.Stamp < old.stamp || r.Stamp == old.stamp && (r.Pending || !old.pending) {
		return false
	}
	if !r.Pending && !old.pending && s.covered(r) {
		return false
	}
	s.set(r.Purge, purgeEntry{r.Stamp, r.Pending})
	if r.All || r.Prefix != "" {
		s.dropCovered(r)
	}
	s.fold()
	return true
}

func (s *purgeSet) get(p Purge) purgeEntry {
	switch {
	case p.All:
		return s.all
	case p.URL != "":
		return s.urls[p.URL]
	default:
		return s.prefixes[p.Prefix]
	}
}

func (s *purgeSet) set(p Purge, e purgeEntry) {
	if old := s.get(p); old.pending {
		s.pending--
	}
	if e.pending {
		s.pending++
	}
	switch {
	case p.All:
		s.all = e
	case p.URL != "":
		s.urls[p.URL] = e
	default:
		if _, known := s.prefixes[p.Prefix]; !known {
			n := len(p.Prefix)
			if s.counts[n]++; s.counts[n] == 1 {
				at, _ := slices.BinarySearch(s.lengths, n)
				s.lengths = slices.Insert(s.lengths, at, n)
			}
		}
		s.prefixes[p.Prefix] = e
	}
}

func (s *purgeSet) remove(p Purge) {
	if s.get(p).pending {
		s.pending--
	}
	switch {
	case p.All:
		s.all = purgeEntry{}
	case p.URL != "":
		delete(s.urls, p.URL)
	default:
		delete(s.prefixes, p.Prefix)
		n := len(p.Prefix)
		if s.counts[n]--; s.counts[n] == 0 {
			delete(s.counts, n)
			at, _ := slices.BinarySearch(s.lengths, n)
			s.lengths = slices.Delete(s.lengths, at, at+1)
		}
	}
}

// newest returns the stamp of the latest purge that holds for href.
func (s *purgeSet) newest(href string) uint64 {
	n := max(s.all.stamp, s.urls[href].stamp)
	for _, length := range s.lengths {
		if length > len(href) {
			break
		}
		n = max(n, s.prefixes[href[:length]].stamp)
	}
	return n
}

// covered reports whether a later purge holds for everything that r holds for.
func (s *purgeSet) covered(r PurgeRecord) bool {
	if r.All {
		return s.all.stamp >= r.Stamp
	}
	n := s.all.stamp
	if r.URL != "" {
		n = max(n, s.urls[r.URL].stamp)
	}
	pattern := r.URL + r.Prefix
	for _, length := range s.lengths {
		if length > len(pattern) {
			break
		}
		n = max(n, s.prefixes[pattern[:length]].stamp)
	}
	return n >= r.Stamp
}

// dropCovered removes what r makes superfluous. Stamps of pending purges cannot be compared with the shared log's, so
// those stay until that has them, unless r will be put there as well.
func (s *purgeSet) dropCovered(r PurgeRecord) {
	for _, o := range s.records() {
		if o.Purge != r.Purge && o.Stamp <= r.Stamp && (!o.Pending || r.Pending) && r.covers(o.Purge) {
			s.remove(o.Purge)
		}
	}
}

func (s *purgeSet) size() int {
	n := len(s.urls) + len(s.prefixes)
	if s.all.stamp > 0 {
		n++
	}
	return n
}

// fold keeps the set within its limit.
func (s *purgeSet) fold() {
	if s.size() <= maxPurges {
		return
	}
	records := s.records()
	old := records[:len(records)-foldTo]
	floor := PurgeRecord{Purge: Purge{All: true}, Stamp: old[len(old)-1].Stamp}
	for _, r := range old {
		floor.Pending = floor.Pending || r.Pending
		s.remove(r.Purge)
	}
	if s.all.stamp > floor.Stamp {
		return
	}
	s.set(floor.Purge, purgeEntry{floor.Stamp, floor.Pending})
}

// records returns all records, the oldest first.
func (s *purgeSet) records() []PurgeRecord {
	list := make([]PurgeRecord, 0, s.size())
	for url, e := range s.urls {
		list = append(list, PurgeRecord{Purge{URL: url}, e.stamp, e.pending})
	}
	for prefix, e := range s.prefixes {
		list = append(list, PurgeRecord{Purge{Prefix: prefix}, e.stamp, e.pending})
	}
	if s.all.stamp > 0 {
		list = append(list, PurgeRecord{Purge{All: true}, s.all.stamp, s.all.pending})
	}
	slices.SortFunc(list, func(a, b PurgeRecord) int { return cmp.Compare(a.Stamp, b.Stamp) })
	return list
}

// waiting returns the pending records, the oldest first.
func (s *purgeSet) waiting() []PurgeRecord {
	if s.pending == 0 {
		return nil
	}
	return slices.DeleteFunc(s.records(), func(r PurgeRecord) bool { return !r.Pending })
}

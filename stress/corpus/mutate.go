package corpus

import (
	"bytes"
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// dense is the part of a file, in bytes, in which formats keep their headers.
const dense = 512

// Cuts returns n lengths at which to truncate size bytes, ascending and distinct where size allows: half of them
// among the headers, half anywhere. No length is size itself.
func Cuts(size, n int) []int {
	n = min(n, size)
	seen := map[int]bool{}
	var cuts []int
	add := func(at int) {
		if at >= 0 && at < size && !seen[at] && len(cuts) < n {
			seen[at] = true
			cuts = append(cuts, at)
		}
	}
	head := min(dense, size)
	for i := range n / 2 {
		add(head * i / max(n/2, 1))
	}
	for i := range n {
		add(size * (2*i + 1) / (2 * n))
	}
	for at := size - 1; len(cuts) < n; at-- {
		add(at)
	}
	slices.Sort(cuts)
	return cuts
}

// maxFlipsLog is the logarithm of the largest number of bytes that Flip changes.
const maxFlipsLog = 6

// Flip returns a copy of b with 1 to 64 random bytes changed, mostly few. The same name and number give the same
// copy. Every second flip hits the first bytes, where a change means something else entirely.
func Flip(b []byte, name string, number int) []byte {
	r := random(name, number)
	out := bytes.Clone(b)
	if len(out) == 0 {
		return out
	}
	for range 1 + r.IntN(1<<r.IntN(maxFlipsLog+1)) {
		end := len(out)
		if r.IntN(2) == 0 {
			end = min(end, dense)
		}
		at := r.IntN(end)
		switch r.IntN(4) {
		case 0: // the values at which lengths and signs turn
			out[at] = []byte{0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff}[r.IntN(6)]
		case 1:
			out[at] ^= 1 << r.IntN(8)
		default:
			out[at] ^= byte(1 + r.IntN(255))
		}
	}
	return out
}

// Splice returns the beginning of a followed by the end of b, cut at places that depend on name and number.
func Splice(a, b []byte, name string, number int) []byte {
	r := random(name, number)
	return append(bytes.Clone(a[:r.IntN(len(a)+1)]), b[r.IntN(len(b)+1):]...)
}

// random is a generator that depends on nothing but its arguments.
func random(name string, number int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // cannot fail
	return rand.New(rand.NewPCG(h.Sum64(), uint64(number)))
}

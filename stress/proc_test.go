//go:build e2e

package stress

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mib is a mebibyte.
const mib = 1 << 20

// children lists the codec processes of a service: the children of its threads that are no zombies.
func (s *service) children() []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.PID())) // the pattern is valid
	var pids []int
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil && !gone(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// statOf returns the fields of /proc/PID/stat from the state on; none of a process that has ended.
func statOf(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	text := string(b) // pid (name) state …, and the name may hold anything: proc(5)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// stateOf is a process's state: R and S live, T is stopped, Z has ended and nobody has asked how; 0 is none.
func stateOf(pid int) byte {
	if stat := statOf(pid); len(stat) > 0 {
		return stat[0][0]
	}
	return 0
}

// gone reports whether a process has ended, although nobody may have asked how.
func gone(pid int) bool {
	state := stateOf(pid)
	return state == 0 || state == 'Z'
}

// usage is the memory of a process, in bytes.
type usage struct {
	resident, anonymous, shared, peak int64
}

// usageOf reads /proc/PID/status; a process that has ended uses nothing.
func usageOf(pid int) usage {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}
	}
	var u usage
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &u.resident, "RssAnon": &u.anonymous, "RssShmem": &u.shared, "VmHWM": &u.peak}[name]
		if fields := strings.Fields(value); into != nil && len(fields) > 0 {
			if kib, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				*into = kib << 10
			}
		}
	}
	return u
}

// cpuOf is the processor time that a process has used, and that its children have used which it has waited for.
func cpuOf(pid int) (own, children time.Duration) {
	stat := statOf(pid)
	if len(stat) < 15 {
		return 0, 0
	}
	ticks := func(field int) time.Duration {
		n, err := strconv.ParseInt(stat[field], 10, 64)
		if err != nil {
			return 0
		}
		return time.Duration(n) * 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go supports
	}
	return ticks(11) + ticks(12), ticks(13) + ticks(14)
}

// cpu is the processor time of the service, and that of all codec processes it ever had.
func (s *service) cpu() (service, codecs time.Duration) {
	service, codecs = cpuOf(s.PID())
	for _, pid := range s.children() {
		own, _ := cpuOf(pid)
		codecs += own
	}
	return service, codecs
}

// peaks are the largest values a sampler has seen, in bytes.
type peaks struct {
	// Service is the resident memory of the service, Codec that of the largest codec process, Codecs the private
	// memory of all of them at one moment, Together the service's and that.
	Service, Codec, Codecs, Together int64
	// Started counts the codec processes that were seen.
	Started int
}

// sampler watches a service's memory.
type sampler struct {
	s    *service
	stop chan struct{}
	done sync.WaitGroup
	peak peaks
	seen map[int]bool
}

// samplePause is the time between two looks at the memory. What falls between them is caught for the service, and for
// codecs that live long enough to be seen twice, by the kernel's own high-water mark.
const samplePause = 25 * time.Millisecond

// watch samples until the returned function is called, which gives the peaks.
func (s *service) watch(t testing.TB) func() peaks {
	w := &sampler{s: s, stop: make(chan struct{}), seen: map[int]bool{}}
	w.done.Go(func() {
		tick := time.NewTicker(samplePause)
		defer tick.Stop()
		for {
			w.sample()
			select {
			case <-w.stop:
				w.sample()
				return
			case <-tick.C:
			}
		}
	})
	end := sync.OnceValue(func() peaks {
		close(w.stop)
		w.done.Wait()
		return w.peak
	})
	t.Cleanup(func() { end() })
	return end
}

func (w *sampler) sample() {
	own := usageOf(w.s.PID())
	var codecs int64
	for _, pid := range w.s.children() {
		u := usageOf(pid)
		codecs += u.anonymous
		w.peak.Codec = max(w.peak.Codec, u.resident, u.peak)
		w.seen[pid] = true
	}
	w.peak.Service = max(w.peak.Service, own.resident, own.peak)
	w.peak.Codecs = max(w.peak.Codecs, codecs)
	w.peak.Together = max(w.peak.Together, own.resident+codecs)
	w.peak.Started = len(w.seen)
}

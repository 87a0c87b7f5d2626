package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// clockTick is the unit of /proc/PID/stat's times, in seconds: USER_HZ, which is 100 on Linux.
const clockTick = 0.01

// treeCPU is the processor time of a process, its children that have ended, and those that run, in seconds.
func treeCPU(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks float64
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseFloat(f, 64)
		ticks += n
	}
	total := ticks * clockTick
	for _, child := range children(pid) {
		total += treeCPU(child)
	}
	return total
}

func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		for _, child := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// treeMemory is the proportional set size of a process and its children, in bytes: resident pages, those that
// processes share counted once.
func treeMemory(pid int) int64 {
	total := pss(pid)
	for _, child := range children(pid) {
		total += treeMemory(child)
	}
	return total
}

// treeMemories is the sum for several.
func treeMemories(pids []int) int64 {
	var sum int64
	for _, pid := range pids {
		sum += treeMemory(pid)
	}
	return sum
}

func pss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// ownCPU is the processor time of this program, in seconds: the clients, and the upstream where it has one.
func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// sampleEvery is how often memory is looked at. Reading it takes the kernel about a millisecond for each process.
const sampleEvery = 250 * time.Millisecond

// watcher samples the memory of process trees.
type watcher struct {
	stop chan struct{}
	wg   sync.WaitGroup
	peak int64 // read after close
	// each is told every sample, if set.
	each func(bytes int64)
}

func watch(pids func() []int, each func(int64)) *watcher {
	w := &watcher{stop: make(chan struct{}), each: each}
	w.wg.Go(func() {
		for {
			sum := treeMemories(pids())
			w.peak = max(w.peak, sum)
			if w.each != nil {
				w.each(sum)
			}
			select {
			case <-w.stop:
				return
			case <-time.After(sampleEvery):
			}
		}
	})
	return w
}

// close ends the sampling and returns the largest sum.
func (w *watcher) close() int64 {
	close(w.stop)
	w.wg.Wait()
	return w.peak
}

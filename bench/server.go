package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a running imgopt.
type server struct {
	cmd  *exec.Cmd
	base string
	log  *os.File

	stop    chan struct{}
	watcher sync.WaitGroup
	peak    int64
	// startup is the processor time spent before the first answer, which is no work of the images.
	startup float64
}

// freePort asks the system for a port.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start runs imgopt with a clean environment and waits until it answers.
func start(ctx context.Context, binary string, args ...string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp("", "imgopt-bench-*.log")
	if err != nil {
		return nil, err
	}
	s := &server{base: fmt.Sprintf("http://127.0.0.1:%d", port), log: log, stop: make(chan struct{})}
	args = append([]string{"serve", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--adminListen", "", "--log.access=false"}, args...)
	s.cmd = exec.CommandContext(ctx, binary, args...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(s.base + "/_next/image")
		if err == nil {
			_ = resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("imgopt does not answer: %s", text)
		}
	}
	s.startup = treeCPU(s.cmd.Process.Pid)
	s.watcher.Go(s.watch)
	return s, nil
}

// close ends the server and returns the processor seconds since it was ready and the peak resident memory of its whole process tree.
func (s *server) close() (cpu float64, peak int64, err error) {
	close(s.stop)
	s.watcher.Wait()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err = s.cmd.Wait()
	_ = os.Remove(s.log.Name())
	_ = s.log.Close()
	// Codec processes have been waited for, so their time is in their parent's.
	u := s.cmd.ProcessState
	if usage, ok := u.SysUsage().(*syscall.Rusage); ok {
		cpu = float64(usage.Utime.Nano()+usage.Stime.Nano())/1e9 - s.startup
	}
	return cpu, s.peak, err
}

// watch samples the memory of the process tree: resident pages, those that processes share counted once.
func (s *server) watch() {
	for {
		s.peak = max(s.peak, treeMemory(s.cmd.Process.Pid))
		select {
		case <-s.stop:
			return
		case <-time.After(time.Second):
		}
	}
}

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

// treeMemory is the proportional set size of a process and its children, in bytes.
func treeMemory(pid int) int64 {
	total := pss(pid)
	for _, child := range children(pid) {
		total += treeMemory(child)
	}
	return total
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

// get fetches one variant and returns its size and cache state.
func (s *server) get(ctx context.Context, client *http.Client, path, accept string) (int64, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	return n, resp.Header.Get("X-Nextjs-Cache"), err
}

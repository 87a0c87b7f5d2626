// Package load asks a server at a constant rate, whatever it answers: an open loop. A request that is late, because the
// server or the machine has no time, counts from the moment it was due, so that a server that stalls cannot hide the
// requests it kept from being sent. One thread does everything with epoll on plain sockets; it shares the CPUs with
// the server it measures, and tells what it used of them.
package load

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Plan is what to do. Its durations are in nanoseconds.
type Plan struct {
	// Addr is the server's IPv4 address and port.
	Addr string
	// For is how long requests are sent.
	For time.Duration
	// Classes are the streams of requests; each has connections of its own.
	Classes []Class
}

// Class is a stream of requests.
type Class struct {
	Name string
	// Rate is the number of requests a second, evenly spaced.
	Rate float64
	// Before and After stand around a request's number in its target.
	Before, After string
	// First is the number of the first request. Of Cycle, when positive, all later numbers are a remainder.
	First, Cycle int
	// Header are more lines of the request, without their ends.
	Header []string
	// Conns is the most connections that are opened; a request that finds none free waits for one.
	Conns int
	// Timeout is when a client gives up, counted from when its request was due.
	Timeout time.Duration
	// Length is that of every body with status 200; 0 is any.
	Length int
}

// Result is what came of a plan.
type Result struct {
	Classes []ClassResult
	// CPU is the processor time that the driver used, Wall how long it ran.
	CPU, Wall time.Duration
}

// ClassResult is what came of a class.
type ClassResult struct {
	Name string
	// Due counts the requests that were to be sent.
	Due int
	// ByStatus are the complete answers, with the time from when they were due to when their last byte was read.
	ByStatus map[int]Times
	// Served is what the server takes of it: the time from when a request was written to when the last byte of its
	// answer had arrived in the kernel. What it takes the driver to be woken is not a part of it.
	Served map[int]Times
	// GaveUp counts requests whose client left, Broken those whose connection ended or made no sense.
	GaveUp, Broken int
	// WrongLength counts bodies of another length than Class.Length, NoRetryAfter answers 503 without that header.
	WrongLength, NoRetryAfter int
	// Late is the time from when a request was due to when it was written: what the driver adds itself, and what
	// waiting for a free connection adds.
	Late Times
	// Conns counts the connections that were opened, Waited the requests that had to wait for one.
	Conns, Waited int
	// Why is the first error of a connection.
	Why string
}

// Answers counts all complete answers.
func (r ClassResult) Answers() int {
	n := 0
	for _, t := range r.ByStatus {
		n += t.N
	}
	return n
}

// Times summarizes durations.
type Times struct {
	N                             int
	P50, P90, P99, P999, Max, Sum time.Duration
	// Slowest are the largest, with their moment since the beginning.
	Slowest []Slow
}

// Slow is one of the slowest answers.
type Slow struct{ At, Took time.Duration }

// sample is one duration and when it was due.
type sample struct{ at, took int64 }

// slowest is how many of the largest are kept.
const slowest = 10

func summarize(samples []sample) Times {
	t := Times{N: len(samples)}
	if t.N == 0 {
		return t
	}
	slices.SortFunc(samples, func(a, b sample) int { return int(a.took - b.took) })
	at := func(q float64) time.Duration {
		return time.Duration(samples[min(int(q*float64(t.N)), t.N-1)].took)
	}
	t.P50, t.P90, t.P99, t.P999, t.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	for _, s := range samples {
		t.Sum += time.Duration(s.took)
	}
	for i := t.N - 1; i >= max(0, t.N-slowest); i-- {
		t.Slowest = append(t.Slowest, Slow{time.Duration(samples[i].at), time.Duration(samples[i].took)})
	}
	return t
}

// Main is the driver as a process of its own: the plan comes from standard input, the result goes to standard output.
func Main() error {
	var plan Plan
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	result, err := Run(plan)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// Run carries out a plan on the calling goroutine, which keeps its thread meanwhile. It returns when the last request
// was answered or given up.
func Run(plan Plan) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := newDriver(plan)
	if err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.run(); err != nil {
		return nil, err
	}
	result := &Result{Wall: time.Since(d.began), CPU: threadCPU() - d.cpu}
	for _, c := range d.classes {
		result.Classes = append(result.Classes, c.result())
	}
	return result, nil
}

// threadCPU is the processor time of the calling thread.
func threadCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

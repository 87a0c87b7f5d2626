package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// serviceSlice is how long a thread of the service computes before others may, in the kernel's fair scheduler. Niceness
// decides how much of a CPU a codec gets beside the service, but since Linux 6.6 not when: a thread that wakes up waits
// for the slice of the one that runs, about 3 ms, though that one be niced. From Linux 6.12 on a thread with a shorter
// slice does not wait. Asking for a short one needs no privilege and gives up nothing that the service needs: a hit is
// done in less.
const serviceSlice = 100 * time.Microsecond

// setSlices gives all threads of this process, and those they start, a slice; 0 is the kernel's default. Kernels before
// 6.12 take the request and ignore it.
func setSlices(slice time.Duration) error {
	var errs []error
	for range 2 { // once more for threads that were started in between
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("listing the threads: %w", err)
		}
		errs = errs[:0]
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				continue
			}
			if err := setSlice(id, slice); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func setSlice(thread int, slice time.Duration) error {
	attributes, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		return fmt.Errorf("asking for the slice of thread %d: %w", thread, err)
	}
	if attributes.Policy != unix.SCHED_NORMAL && attributes.Policy != unix.SCHED_BATCH {
		return nil // somebody has other plans for this process
	}
	attributes.Runtime = uint64(slice)
	if err := unix.SchedSetAttr(thread, attributes, 0); err != nil {
		return fmt.Errorf("setting the slice of thread %d: %w", thread, err)
	}
	return nil
}

package codec

import (
	"errors"
	"fmt"
	"os"
	"strings"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// restrict takes from this process what decoding an image does not need: files, network, new programs, more than
// maxData bytes of memory. What the kernel does not offer is left out and said: the returned line names what holds.
// The order matters, because each step may forbid the system calls of the next.
func restrict(maxData uint64) (string, error) {
	var active []string
	if maxData > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: maxData, Max: maxData}); err != nil {
			return "", fmt.Errorf("limiting memory to %d bytes: %w", maxData, err)
		}
		active = append(active, fmt.Sprintf("memory limit %d MiB", maxData>>20))
	}
	// No core dumps: they would write images that are not ours to disk.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return "", fmt.Errorf("forbidding core dumps: %w", err)
	}
	if abi, err := llsys.LandlockGetABIVersion(); err == nil && abi > 0 {
		if err := landlock.V7.BestEffort().Restrict(); err != nil {
			return "", fmt.Errorf("restricting files and network with Landlock: %w", err)
		}
		denied := "no files, no network"
		if abi >= 6 {
			denied += ", no signals"
		}
		active = append(active, fmt.Sprintf("Landlock ABI %d (%s)", abi, denied))
	} else {
		active = append(active, "no Landlock")
	}
	if !seccomp.Supported() {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return "", fmt.Errorf("giving up new privileges: %w", err)
		}
		return strings.Join(append(active, "no_new_privs", "no seccomp"), ", "), nil
	}
	if err := seccomp.LoadFilter(filter()); err != nil {
		return "", fmt.Errorf("loading the seccomp filter: %w", err)
	}
	if err := probe(); err != nil {
		return "", err
	}
	return strings.Join(append(active, "no_new_privs", "seccomp (no files, network, programs)"), ", "), nil
}

// filter allows the system calls that the Go runtime, glibc's allocator and threads, and libvips make, and fails
// every other one with EPERM, which they all survive.
func filter() seccomp.Filter {
	// clone3 hides its flags from a filter. ENOSYS makes glibc fall back to clone, whose flags can be seen.
	noSys := seccomp.ActionErrno&^0xffff | seccomp.Action(unix.ENOSYS)
	return seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				{Action: noSys, Names: []string{"clone3"}},
				{Action: seccomp.ActionAllow, Names: append(allowed, allowedHere...)},
				{Action: seccomp.ActionAllow, NamesWithCondtions: conditional(uint64(os.Getpid()))},
			},
		},
	}
}

// conditional are the calls of which only some forms are harmless.
func conditional(self uint64) []seccomp.NameWithConditions {
	argument := func(n uint32, op seccomp.Operation, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: n, Operation: op, Value: value}
	}
	calls := []seccomp.NameWithConditions{
		// threads, no processes
		{Name: "clone", Conditions: []seccomp.Condition{argument(0, seccomp.BitsSet, unix.CLONE_THREAD)}},
		// signals to this process only
		{Name: "tgkill", Conditions: []seccomp.Condition{argument(0, seccomp.Equal, self)}},
		// private memory without code: shared memory would escape the limit
		{Name: "mmap", Conditions: []seccomp.Condition{argument(2, seccomp.BitsNotSet, unix.PROT_EXEC), argument(3, seccomp.BitsNotSet, unix.MAP_SHARED)}},
		{Name: "mprotect", Conditions: []seccomp.Condition{argument(2, seccomp.BitsNotSet, unix.PROT_EXEC)}},
	}
	// Descriptors' flags, but not F_SETOWN and F_SETSIG, which send signals to others.
	for _, command := range []uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		calls = append(calls, seccomp.NameWithConditions{Name: "fcntl", Conditions: []seccomp.Condition{argument(1, seccomp.Equal, command)}})
	}
	// Names of threads and memory; not PR_SET_PDEATHSIG, which ties a codec's life to the service's.
	for _, option := range []uint64{unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_VMA} {
		calls = append(calls, seccomp.NameWithConditions{Name: "prctl", Conditions: []seccomp.Condition{argument(0, seccomp.Equal, option)}})
	}
	return calls
}

var allowed = []string{
	// memory
	"brk", "munmap", "mremap", "madvise", "membarrier",
	// the socket, the inherited descriptors, standard error
	"read", "write", "writev", "recvfrom", "sendto", "close", "fstat", "lseek",
	// threads and their synchronisation
	"futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "gettid", "getpid", "exit", "exit_group",
	// signals
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	// time and the Go runtime's poller and timers
	"clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "epoll_create1", "epoll_ctl", "epoll_pwait",
	"eventfd2", "pipe2", "timer_create", "timer_settime", "timer_delete", "setitimer",
	// figures about this process
	"getrandom", "getrusage", "sysinfo", "uname",
}

// errUnrestricted says that a restriction was set and does not hold.
var errUnrestricted = errors.New("the sandbox does not hold")

// probe tries what must fail.
func probe() error {
	if fd, err := unix.Open("/proc/self/status", unix.O_RDONLY, 0); err == nil {
		_ = unix.Close(fd)
		return fmt.Errorf("%w: a file could be opened", errUnrestricted)
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err == nil {
		_ = unix.Close(fd)
		return fmt.Errorf("%w: a socket could be made", errUnrestricted)
	}
	if err := unix.Tgkill(1, 1, 0); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: a signal could be sent (%v)", errUnrestricted, err)
	}
	if err := unix.Exec("/proc/self/exe", []string{"imgopt", "version"}, nil); err == nil || !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: a program could be started (%v)", errUnrestricted, err)
	}
	return nil
}

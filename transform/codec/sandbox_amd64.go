package codec

// allowedHere are system calls that other architectures do not have.
var allowedHere = []string{"arch_prctl", "epoll_wait", "time", "newfstatat"}

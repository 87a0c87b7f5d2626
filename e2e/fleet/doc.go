// Package fleet proves what several imgopt processes are together: one optimizer. It starts real valkey-server and
// real imgopt processes, loses them in the ways in which they can be lost, and checks every answer that a client gets
// meanwhile.
//
// The tests have the build tag e2e and need bin/imgopt (make build) and a valkey-server. With FLEET_FULL=1 they repeat
// more and wait longer. FLEET_LOGS names a folder in which the processes' logs are kept.
package fleet

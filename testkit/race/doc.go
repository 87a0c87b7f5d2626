// Package race says whether the race detector is compiled in: it allocates, and takes memory and time, which tests that
// count these must not blame on the code.
package race

//go:build !race

package race

// Enabled is whether the race detector is compiled in.
const Enabled = false

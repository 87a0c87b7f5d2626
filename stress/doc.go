// Package stress tries to hurt the real service: hostile images, killed codec processes, ten times the load it can
// carry, origins that never answer and clients that never read. Its tests have the build tag e2e and start the binary
// that `make build` makes, with its codecs in processes of their own. README.md says what each of them proves.
package stress

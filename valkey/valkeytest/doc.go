// Package valkeytest starts real Valkey servers for tests: single ones, with a password or TLS, a primary with
// replicas and sentinels, a cluster. They listen on loopback, keep their files in the test's folder, and end with the
// test, or with the test's process if that is killed.
//
// A test that needs a server is skipped where none is installed (scripts/valkey installs it), except in CI, where it
// fails.
package valkeytest

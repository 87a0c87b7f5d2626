// Package e2e proves that imgopt answers what Next.js answers: it sends the same requests to the real `next start`
// and to the real imgopt binary and compares status, text, every header and the bytes.
//
// This file set is the harness: a raw HTTP client, the comparer, a scripted upstream and the recorder of results. It
// is tested by `go test`. The comparison itself starts processes and needs Node.js; it has the build tag e2e and runs
// as `go test -tags e2e ./e2e` after e2e/setup. README.md describes how it works and lists every allowed difference.
package e2e

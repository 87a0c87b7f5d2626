// Package handler is the edge of imgopt: the public application that answers {basePath}/_next/image as
// Next.js 16.4.6 does, and the admin application (health, readiness, metrics, purge, the shared queue, reload, profiles,
// the pages for operators and demonstrations), both on Fiber. What the admin application works on is given to it as
// small interfaces (adminapi.go); package adminclient asks it.
//
// What the public application sends was taken from a running `next start` and from its sources:
// next/dist/server/image-optimizer.js (setResponseHeaders, sendResponse, getFileNameWithExtension),
// send-payload.js (sendEtagResponse), serve-static.js (media types), next-server.js (handleNextImageRequest) and
// lib/router-utils/resolve-routes.js (redirects). The ports of the small modules Next uses (fresh,
// content-disposition, mime, negotiator) are compared with the modules themselves by the tables in testdata.
//
// A hit costs a look-up and a write. Params are remembered per query, headers are prepared once per entry, bodies
// are never copied by this package, and a 304 is decided from the entry's tag alone.
//
// What one client does costs the others nothing. A client that leaves while its request waits for work ends that
// request's context (watch.go); what waits for work is bounded, so that hits find a connection (Options.MaxWaiting);
// so are the bytes that slow readers keep in memory (Options.ResponseMemory, load.go), and the time they may take
// (ListenOptions); messages that two servers could read in two ways are refused (message.go); and without descriptors
// the admin application still answers (ListenOptions.Spare).
//
// The admin application has no users and passwords: who reaches its listener may do everything. What it guards against
// is the web, which reaches the listener through the browsers of those who may (guard.go).
//
// Differences from Next, all on purpose:
//   - Methods other than GET and HEAD get 405 with Allow; Next serves the image to POST, PUT, DELETE and the rest.
//   - A request with a body is refused with 413 and its connection closed; Next ignores the body.
//   - Request headers may be 32 KiB; Next (Node) answers 431 above 16 KiB.
//   - Paths that are not the endpoint get a plain 404; there the frontend is not asked.
//   - Two Hosts, a Host that is none and a Transfer-Encoding other than chunked get 400, as RFC 9112 asks; Node takes
//     them. strict_test.go has the list of all such differences.
package handler

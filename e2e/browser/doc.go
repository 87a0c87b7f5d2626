// Package browser proves that people see the same pages with imgopt as without: a real Next.js application behind a
// real nginx with deploy/ingress/nginx.conf, and Chromium that loads its pages.
//
// All of it is tests. What starts programs has the build tag e2e and runs as `go test -tags e2e ./e2e/browser` after
// e2e/setup; the comparison of pictures is tested without. README.md says what is looked at.
package browser

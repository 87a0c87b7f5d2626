//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The documented differences. README.md lists them for people; each is as narrow as it can be said.

const (
	textUpstream   = `"url" parameter is valid but upstream response is invalid`
	textInternal   = `"url" parameter is valid but internal response is invalid`
	textTimeout    = `"url" parameter is valid but upstream response timed out`
	textNotAllowed = `"url" parameter is not allowed`
)

// retried: Next.js relays 429, 500, 502, 503 and 504 at once; imgopt tries again and then answers 502.
var retried = &Allowance{
	Name:   "retried",
	Reason: "429, 500, 502, 503 and 504 of an upstream are retried; when the retries are exhausted the answer is 502",
	Check: func(want, got *Response) error {
		if !slices.Contains([]int{429, 500, 502, 503, 504}, want.Status) || got.Status != 502 {
			return fmt.Errorf("status %d became %d", want.Status, got.Status)
		}
		return sameBut(want, got, "status:")
	},
}

// unreachable: where the connection to the upstream fails, Next.js throws (500); imgopt tries again, then 502.
var unreachable = &Allowance{
	Name:   "unreachable",
	Reason: "connection failures are retried; when the retries are exhausted the answer is 502",
	Check: func(want, got *Response) error {
		head := len(want.Body) == 0 && len(got.Body) == 0
		if want.Status != 500 || !head && string(want.Body) != "Internal Server Error" {
			return fmt.Errorf("Next.js did not fail to connect: %d %q", want.Status, want.Body)
		}
		if got.Status != 502 || !head && string(got.Body) != textUpstream {
			return fmt.Errorf("imgopt answered %d %q", got.Status, got.Body)
		}
		return sameBut(want, got, "status:", "body:")
	},
}

// slowPage: for Next.js the application is a function call without a time limit; for imgopt it is an upstream.
var slowPage = &Allowance{
	Name:   "slow page",
	Reason: "the time limit of a fetch holds for relative urls too",
	Check: func(want, got *Response) error {
		if want.Status != 200 || got.Status != 504 || string(got.Body) != textTimeout {
			return fmt.Errorf("status %d became %d %s", want.Status, got.Status, bodyText(got.Body))
		}
		return nil
	},
}

// noDisk: without a disk cache Next.js remembers nothing; imgopt still has its memory.
var noDisk = &Allowance{
	Name:   "no disk",
	Reason: "maximumDiskCacheSize: 0 turns the disk cache off, not the cache in memory",
	Check: func(want, got *Response) error {
		if want.Header.Get("X-Nextjs-Cache") != "MISS" || got.Header.Get("X-Nextjs-Cache") != "HIT" {
			return errors.New("not a hit instead of a miss")
		}
		return sameBut(want, got, "X-Nextjs-Cache:")
	},
}

// guarded: the address guards know different lists. Next.js takes a few special-purpose blocks of the IANA registries
// for public ones and tries to connect; imgopt refuses them like every other address that is not public.
var guarded = &Allowance{
	Name:   "guarded",
	Reason: "special-purpose addresses that Next.js overlooks are refused as not public",
	Check: func(want, got *Response) error {
		if want.Status != 500 || string(want.Body) != "Internal Server Error" {
			return fmt.Errorf("Next.js did not fail to connect: %d %q", want.Status, want.Body)
		}
		if got.Status != 400 || string(got.Body) != textNotAllowed {
			return fmt.Errorf("imgopt answered %d %q", got.Status, got.Body)
		}
		return sameBut(want, got, "status:", "body:")
	},
}

// method: Next.js answers every method as if it were GET; imgopt refuses all but GET and HEAD.
var method = &Allowance{
	Name:   "method",
	Reason: "methods other than GET and HEAD are answered with 405 and Allow",
	Check: func(_, got *Response) error {
		if got.Status != 405 || got.Header.Get("Allow") != "GET, HEAD" {
			return fmt.Errorf("imgopt answered %d, Allow: %q", got.Status, got.Header.Get("Allow"))
		}
		return nil
	},
}

// absoluteForm: Next.js takes the two slashes of an absolute-form target for repeated ones and redirects to itself.
var absoluteForm = &Allowance{
	Name:   "absolute form",
	Reason: "a request target in absolute form is served like one in origin form (RFC 9112, 3.2.2)",
	Check: func(want, got *Response) error {
		if want.Status != 308 || got.Status != 200 && got.Status != 400 && got.Status != 404 {
			return fmt.Errorf("status %d became %d", want.Status, got.Status)
		}
		return nil
	},
}

// requestBody: Next.js does not look at the body of a GET; imgopt takes none.
var requestBody = &Allowance{
	Name:   "request body",
	Reason: "a GET or HEAD with a body is refused with 413",
	Check: func(_, got *Response) error {
		if got.Status != 413 || len(got.Body) > 0 {
			return fmt.Errorf("imgopt answered %d", got.Status)
		}
		return nil
	},
}

// elsewhere: imgopt serves one path; every other is 404, without Next.js' pages.
var elsewhere = &Allowance{
	Name:   "elsewhere",
	Reason: "paths other than the optimizer's are 404: the rest of the application is not behind imgopt",
	Check: func(_, got *Response) error {
		if got.Status != 404 {
			return fmt.Errorf("imgopt answered %d", got.Status)
		}
		return nil
	},
}

// withLength: to HTTP/1.0, Next.js ends errors and compressed answers with the connection; imgopt says their length.
func withLength(other *Allowance) *Allowance {
	length := &Allowance{
		Name:   "length",
		Reason: "answers to HTTP/1.0 have a Content-Length",
		Check: func(want, got *Response) error {
			if want.Header.Get("Content-Length") != "" || got.Header.Get("Content-Length") == "" {
				return errors.New("not a length where Next.js sends none")
			}
			return sameBut(want, got, "Content-Length:")
		},
	}
	if other == nil {
		return length
	}
	return either(other, length)
}

// either accepts what any of the allowances does.
func either(allowances ...*Allowance) *Allowance {
	return &Allowance{
		Name: allowances[0].Name,
		Check: func(want, got *Response) error {
			var errs []error
			for _, a := range allowances {
				err := a.Check(want, got)
				if err == nil {
					return nil
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}

// sameBut compares and accepts only differences that begin with one of the prefixes.
func sameBut(want, got *Response, prefixes ...string) error {
	for _, d := range Compare(want, got) {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(d, p) }) {
			return fmt.Errorf("also %s", d)
		}
	}
	return nil
}

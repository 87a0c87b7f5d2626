package main

import (
	"log/slog"
	"net/http"
	"net/netip"

	"imgopt/config"
	"imgopt/fetch"
	"imgopt/validate"
)

// newFetcher makes the upstream client that the configuration asks for.
func newFetcher(c *config.Config, rules *validate.Rules, log *slog.Logger) (*fetch.Client, error) {
	o := fetch.Options{
		Origins:         c.Origin,
		Deployments:     fetch.DeploymentOptions{Origins: c.Deployment.Origin, IDs: c.Deployment.IDs, Own: c.OwnDeployment()},
		BasePath:        c.BasePath,
		Timeout:         c.Fetch.Timeout,
		MaxBody:         int64(c.Images.MaximumResponseBody),
		MaxRedirects:    c.Images.MaximumRedirects,
		AllowLocalIP:    c.Images.DangerouslyAllowLocalIP,
		MaxConnsPerHost: c.Fetch.MaxConnsPerHost,
		PropagateTrace:  c.Tracing.PropagateToOrigin,
		Breaker: fetch.BreakerOptions{
			Failures: c.Fetch.Breaker.Failures,
			OpenFor:  c.Fetch.Breaker.OpenFor,
			OnChange: func(origin string, open bool) {
				if open {
					log.Warn("an origin does not answer and is left alone for a while", "origin", origin, "for", c.Fetch.Breaker.OpenFor)
				} else {
					log.Info("an origin is asked again", "origin", origin)
				}
			},
		},
	}
	if c.Fetch.StrictRedirects {
		o.AllowRedirect = rules.AllowsRemote
	}
	for _, s := range c.Fetch.AllowCIDRs {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		o.AllowCIDRs = append(o.AllowCIDRs, prefix)
	}
	for _, h := range c.Fetch.Headers {
		header := http.Header{}
		for name, value := range h.Headers {
			header.Set(name, value)
		}
		o.Headers = append(o.Headers, fetch.OriginHeaders{Origin: h.Origin, Header: header})
	}
	return fetch.New(o)
}

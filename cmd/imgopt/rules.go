package main

import (
	"imgopt/config"
	"imgopt/validate"
)

// rulesOf gives the validation its part of the configuration.
func rulesOf(c *config.Config) validate.Options {
	o := validate.Options{
		BasePath:    c.BasePath,
		DeviceSizes: c.Images.DeviceSizes,
		ImageSizes:  c.Images.ImageSizes,
		Qualities:   c.Images.Qualities,
		Formats:     c.Images.Formats,
		Domains:     c.Images.Domains,
		Deployments: len(c.Deployment.Origin) > 0,
	}
	for _, p := range c.Images.RemotePatterns {
		o.RemotePatterns = append(o.RemotePatterns, validate.RemotePattern{
			Protocol: p.Protocol, Hostname: optional(p.Hostname), Port: p.Port, Pathname: p.Pathname, Search: p.Search,
			HostnameRegexp: optional(p.HostnameRegexp), PathnameRegexp: optional(p.PathnameRegexp),
		})
	}
	if c.Images.LocalPatterns != nil {
		o.LocalPatterns = []validate.LocalPattern{}
	}
	for _, p := range c.Images.LocalPatterns {
		o.LocalPatterns = append(o.LocalPatterns, validate.LocalPattern{
			Pathname: p.Pathname, Search: p.Search, PathnameRegexp: optional(p.PathnameRegexp),
		})
	}
	return o
}

// optional is nil for what was not given.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

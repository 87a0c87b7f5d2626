package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"imgopt/config"
	"imgopt/prewarm"
	"imgopt/prewarm/journal"
	"imgopt/prewarm/progress"
)

// prewarmFlags are the options of prewarm beside the configuration's.
type prewarmFlags struct {
	prewarm.Options
	dryRun, json bool
}

func prewarmCommand() *cobra.Command {
	var s settings
	o := prewarmFlags{Options: prewarm.Defaults()}
	cmd := &cobra.Command{
		Use:   "prewarm",
		Short: "Ask for every image variant of a site before its visitors do",
		Long: `Make every image variant of a site before its visitors ask for it: exactly what browsers would ask for, as found in a
Next.js build, a sitemap, a crawl or a list, each once.

With --target a server is asked for them, any one with this endpoint, Next.js included. Without, they are made here and put
into the cache of the configuration (cache.disk, and Valkey with storage.type: valkey), where "imgopt serve" with the same
configuration finds them, running or not: each source is fetched once and decoded as seldom as possible. With --queue they
are put into the shared queue of the configuration instead, to be made by its workers when they have nothing else to do.

Exit code 0: all that was asked for is warm; 1: something is not; 2: misuse.`,
		Example: "  imgopt prewarm --config imgopt.yaml --next-dir .next\n" +
			"  imgopt prewarm --next-dir .next --target http://127.0.0.1:3001\n" +
			"  imgopt prewarm --sitemap https://shop.example/sitemap.xml --target https://shop.example --resume warm.journal\n" +
			"  imgopt prewarm --next-dir .next --dry-run",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPrewarm(cmd, &s, &o) },
	}
	s.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.NextDir, "next-dir", "", "a Next.js build (.next, or the project that holds it); its rules are taken too")
	f.StringSliceVar(&o.Parts, "parts", o.Parts, "what of the build to read: pages, media, public")
	f.StringArrayVar(&o.Sitemaps, "sitemap", nil, "url of a sitemap or sitemap index; may be repeated")
	f.StringArrayVar(&o.Crawl, "crawl", nil, "url of a page to read and to follow links from, within its origin; may be repeated")
	f.IntVar(&o.Depth, "depth", o.Depth, "how many links away from a page of --crawl a page may be")
	f.StringArrayVar(&o.URLs, "urls", nil, "file with one url a line, - for standard input: images, or complete urls of the endpoint; may be repeated")
	f.IntVar(&o.MaxPages, "max-pages", o.MaxPages, "how many pages are read at most")
	f.Float64Var(&o.PageRate, "page-rate", o.PageRate, "how many pages a second are asked for at most; 0 sets no limit")
	f.BoolVar(&o.Rebase, "rebase", false, "ask the sitemap's own server for its pages, whatever origin it names")
	f.BoolVar(&o.IgnoreRobots, "ignore-robots", false, "crawl in spite of robots.txt and nofollow")
	f.BoolVar(&o.Measure, "measure", false, "ask for the size of every source, so that the report can say what is saved")
	f.StringSliceVar(&o.Formats, "formats", nil, "only these formats: avif, webp, original")
	f.IntSliceVar(&o.Widths, "widths", nil, "only these widths")
	f.IntSliceVar(&o.Qualities, "qualities", nil, "only these qualities")
	f.StringArrayVar(&o.Include, "include", nil, "only sources that match the glob; may be repeated")
	f.StringArrayVar(&o.Exclude, "exclude", nil, "no sources that match the glob; may be repeated")
	f.IntVar(&o.Limit, "limit", 0, "how many variants are warmed at most; 0 is all")
	f.StringVar(&o.Target, "target", "", "the server to warm: http://host:port; without, the cache of the configuration is filled")
	f.BoolVar(&o.Queue, "queue", false, "have the variants made by the workers of the configured Valkey queue")
	f.StringArrayVar(&o.Headers, "header", nil, "header for the target and for pages, \"Name: value\"; may be repeated")
	f.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "how many variants are asked for at once; without --target, how many sources")
	f.Float64Var(&o.Rate, "rate", 0, "how many requests a second the target gets at most, or the queue jobs, or, without either, how many sources are begun; 0 sets no limit")
	f.IntVar(&o.Attempts, "attempts", o.Attempts, "how often a variant is asked for when there is hope")
	f.DurationVar(&o.Timeout, "attempt-timeout", o.Timeout, "how long one attempt may take")
	f.BoolVar(&o.Verify, "verify", o.Verify, "ask for everything once more at the end: only a hit is warm")
	f.StringVar(&o.Resume, "resume", "", "file that keeps what is done, so that another run goes on where this one stopped")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and ask for nothing")
	f.BoolVar(&o.json, "json", false, "print the report (or the plan) as JSON")
	return cmd
}

// prewarmExit is how a pre-warming ends that has reported already.
type prewarmExit struct{ code int }

func (e prewarmExit) Error() string { return "not everything is warm" }

func runPrewarm(cmd *cobra.Command, s *settings, o *prewarmFlags) error {
	if o.NextDir != "" { // unless a rule is given otherwise
		s.given = append([]config.Flag{{Name: "nextDir", Value: o.NextDir}}, s.given...)
	}
	c, from, err := s.load()
	if err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return prewarmError(err)
	}
	if !o.dryRun && o.Target == "" {
		if err := warmable(c, o.Queue); err != nil {
			return err
		}
	}
	site, err := prewarm.NewSite(prewarm.SiteOptions{
		Options:       rulesOf(c),
		AssetPrefix:   c.Next.AssetPrefix,
		TrailingSlash: c.TrailingSlash,
		AllowSVG:      c.Images.DangerouslyAllowSVG,
		Off:           c.Images.Unoptimized || c.Images.Loader != "default",
	})
	if err != nil {
		return prewarmError(err)
	}
	if err := o.ValidateFor(site); err != nil {
		return prewarmError(err)
	}
	shown := progress.New(os.Stderr, os.Getenv)
	defer shown.Close()
	found, err := prewarm.Find(cmd.Context(), site, o.Options, cmd.InOrStdin(), shown)
	if err != nil && (found == nil || cmd.Context().Err() == nil) {
		return prewarmError(err)
	}
	plan := prewarm.NewPlan(found, o.Options)
	if o.dryRun {
		shown.Close()
		if o.json {
			return plan.WriteJSON(cmd.OutOrStdout(), o.Target)
		}
		return plan.WriteText(cmd.OutOrStdout())
	}
	report, err := warm(cmd, c, from, site, plan, o, shown)
	if err != nil {
		return prewarmError(err)
	}
	shown.Close()
	write := report.WriteText
	if o.json {
		write = report.WriteJSON
	}
	if err := write(cmd.OutOrStdout()); err != nil {
		return err
	}
	if code := prewarm.ExitCode(report, nil); code != exitOK {
		return prewarmExit{code}
	}
	return nil
}

func warm(cmd *cobra.Command, c *config.Config, from *config.Provenance, site *prewarm.Site, plan *prewarm.Plan, o *prewarmFlags, shown prewarm.Progress) (_ *prewarm.Report, err error) {
	run := prewarm.RunOptions{Concurrency: o.Concurrency, Verify: o.Verify, Target: o.Target}
	switch {
	case o.Queue:
		run.Target = "queue " + c.Storage.URL
	case o.Target == "":
		run.Target = cacheName(c)
	}
	var done *journal.Journal
	if o.Resume != "" {
		settings := ""
		if o.Target == "" {
			settings = imageSettings(c)
		}
		if done, err = prewarm.OpenJournal(o.Options, site, run.Target, settings); err != nil {
			return nil, err
		}
		defer done.Close()
		run.Journal = done
	}
	if o.Target != "" {
		target, err := prewarm.NewTarget(site, o.Options)
		if err != nil {
			return nil, err
		}
		defer target.Close()
		run.Batch = 1
		return prewarm.Run(cmd.Context(), plan, target, run, shown), nil
	}
	w, err := openWarmer(cmd.Context(), c, from, o.Queue, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if o.Queue {
		return prewarm.Run(cmd.Context(), plan, prewarm.NewQueued(w, o.Options), run, shown), nil
	}
	return prewarm.Run(cmd.Context(), plan, prewarm.NewDirect(w, o.Options), run, shown), nil
}

// imageSettings are what decides the bytes of a variant beside the request and its source.
func imageSettings(c *config.Config) string { return strings.Join(imageKeyParts(c), " ") }

// cacheName names a cache for the report.
func cacheName(c *config.Config) string {
	var names []string
	if path, _, ok := c.DiskCache(); ok {
		names = append(names, "cache "+path)
	}
	if c.Shared() {
		names = append(names, "cache "+c.Storage.URL)
	}
	return strings.Join(names, ", ")
}

// prewarmError makes misuse of what is one.
func prewarmError(err error) error {
	if prewarm.ExitCode(nil, err) != exitMisuse {
		return err
	}
	var mistakes prewarm.OptionErrors
	if errors.As(err, &mistakes) {
		lines := make([]string, len(mistakes))
		for i, m := range mistakes {
			lines[i] = m.Error()
		}
		err = fmt.Errorf("%s", strings.Join(lines, "; "))
	}
	return misuse{err}
}

// Package prewarm has everything made that browsers will ask an image endpoint for, before they do: by asking a server, by
// filling its cache, or through its queue.
//
// It knows where the requests come from, which of them are the same for the server, how to ask without hurting it, and
// what to say about it. It does not know how an image is optimized. One step after the other:
//
//	options.Validate            the command line by itself
//	NewSite, ValidateFor        the rules of the site; the command line against them
//	Find                        builds, sitemaps, pages and lists → Found
//	NewPlan                     rules, filters, once each, in a good order → Plan (a dry run ends here)
//	NewTarget                   a Warmer that asks a server, as browsers do
//	NewDirect                   or one that fills a cache itself
//	NewQueued                   or one that enqueues jobs for others
//	OpenJournal                 for --resume
//	Run                         the Plan through the Warmer → Report
//	Report.WriteText, WriteJSON and ExitCode
//
// # What is asked for
//
// Pages tell exactly: every candidate of every srcset is what some window and screen loads (package page), and the
// server decides between formats by the Accept header. Of the headers that browsers send (see accepts), those are asked
// with that get different things by the site's images.formats; the rules of package validate decide, as they do in the
// service. Where no page tells how a source is used — lists of sources, and files of a build that no page asks for — it
// is asked for in all widths (deviceSizes and imageSizes) and all qualities: which of them an Image element asks for
// depends on its width, sizes and fill, and no other width can be asked for.
//
// Two requests are the same variant if the server answers them from the same cache entry: href, width, quality, chosen
// type, and deployment id.
//
// # Politeness
//
// Pages are asked for a few at once and at --page-rate, robots.txt holds for --crawl (with Crawl-delay and nofollow) but
// not for --sitemap, whose owner lists what is to be read. All variants of a source follow each other, so that the
// service has it at hand; sources of different origins alternate. 503 and 429 are answered with a pause of at least
// Retry-After, in which the worker that got it asks for nothing else.
//
// # Without a server
//
// Direct gives all variants of a source to the cache at once, which fetches the source once and decodes it as seldom as it
// can. What fails and may succeed another time is given once more, the rest of the source is not. Verifying is a look into
// the cache. Queued enqueues a background job for each variant and looks into the cache until they are there; the
// workers fetch and decode for each job. A job that is in the queue no more and left nothing in the cache is done once
// more with somebody waiting, who learns why it failed.
//
// Options.Concurrency is how many sources are begun at once in both. The report is the same; the time of a variant is that
// since the one before it, of the same source, was ready.
//
// # Report
//
// The JSON of a Report has "schema": "imgopt.prewarm/1", that of a Plan "imgopt.prewarm.plan/1". Within one schema
// fields may be added, but none changes its meaning. Lists are never null.
package prewarm

package prewarm

import (
	"errors"
	"strconv"
	"strings"

	"imgopt/prewarm/journal"
)

// identity are the options that decide what is warmed and where: a journal belongs to them. How fast it goes, and how
// often something is tried, may change from run to run.
func (o *Options) identity(s *Site, target, settings string) map[string]string {
	join := func(list []string) string { return strings.Join(list, " ") }
	id := map[string]string{
		"--next-dir":  o.NextDir,
		"--parts":     join(o.Parts),
		"--sitemap":   redacted(join(o.Sitemaps)),
		"--crawl":     redacted(join(o.Crawl)),
		"--depth":     strconv.Itoa(o.Depth),
		"--urls":      join(o.URLs),
		"--max-pages": strconv.Itoa(o.MaxPages),
		"--rebase":    strconv.FormatBool(o.Rebase),
		"--formats":   join(o.Formats),
		"--widths":    join(texts(o.Widths)),
		"--qualities": join(texts(o.Qualities)),
		"--include":   join(o.Include),
		"--exclude":   join(o.Exclude),
		"--limit":     strconv.Itoa(o.Limit),
		"--target":    redacted(target),
		"endpoint":    s.Endpoint(),
	}
	if settings != "" {
		id["settings of images"] = settings
	}
	return id
}

// OpenJournal opens the journal of o.Resume, or begins it. target is RunOptions.Target. settings are what else decides which
// images are made, "" where the target does: with others, what is done has to be done again. A file that is no journal, that belongs to other options, or
// that another run uses is misuse: OptionErrors.
func OpenJournal(o Options, s *Site, target, settings string) (*journal.Journal, error) {
	j, err := journal.Open(o.Resume, o.identity(s, target, settings))
	var mismatch *journal.MismatchError
	problem := ""
	switch {
	case err == nil:
		return j, nil
	case errors.As(err, &mismatch):
		problem = mismatch.Error() + "; give the same options, or another file"
	case errors.Is(err, journal.ErrForeign):
		problem = "exists and is " + journal.ErrForeign.Error()
	case errors.Is(err, journal.ErrInUse):
		problem = journal.ErrInUse.Error()
	default:
		problem = "cannot be used: " + oneLine(err.Error())
	}
	return nil, OptionErrors{{Flag: "resume", Value: quote(o.Resume), Problem: problem}}
}

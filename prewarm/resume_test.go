package prewarm

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"imgopt/prewarm/journal"
)

func TestRunResumes(t *testing.T) {
	site := newSite(t, plainOptions())
	o := fromStdin()
	o.Resume = filepath.Join(t.TempDir(), "journal")
	open := func() *journal.Journal {
		j, err := OpenJournal(o, site, o.Target, "")
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	run := func(ctx context.Context, w *fakeWarmer, p Progress) *Report {
		j := open()
		r := Run(ctx, planOf(t, "/a.png\n/b.png\n"), w, RunOptions{Concurrency: 1, Batch: 1, Verify: true, Journal: j}, p)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		return r
	}
	w := &fakeWarmer{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w.after = func() {
			if len(w.batches) == 4 {
				cancel()
			}
		}
		if r := run(ctx, w, nil); r.Warm != 4 || r.Left != 8 {
			t.Fatalf("%+v", r)
		}
	})
	w.after = nil
	synctest.Test(t, func(t *testing.T) {
		p := &recorder{}
		w.fail = func(v Variant) error {
			if v.Href == "/b.png" && v.Width == 32 {
				return &Failure{Reason: ReasonStatus, Status: 500}
			}
			return nil
		}
		r := run(t.Context(), w, p)
		if r.Resumed != 4 || r.Warm != 10 || r.Failed != 2 || len(w.batches) != 12 || r.Bytes != 1000 || r.Verified != 10 || r.SourceBytes != 2000 {
			t.Errorf("%+v, %d calls", r, len(w.batches))
		}
	})
	w.fail = nil
	synctest.Test(t, func(t *testing.T) {
		// What failed is done again, and what is gone from the cache as well.
		for k := range w.kept {
			w.kept[k] = false
		}
		r := run(t.Context(), w, nil)
		if r.Resumed != 10 || r.Warm != 12 || r.ExitCode != 0 || r.Made != 12 || r.Hit != 0 {
			t.Errorf("%+v", r)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// What cannot be kept is taken back from the journal.
		w.forget = func(v Variant) bool { return v.Href == "/a.png" }
		for k := range w.kept {
			w.kept[k] = false
		}
		if r := run(t.Context(), w, nil); r.Resumed != 6 || r.Warm != 6 || r.Failed != 6 {
			t.Errorf("%+v", r)
		}
		j := open()
		defer j.Close()
		if len(j.Done) != 6 {
			t.Errorf("%d records", len(j.Done))
		}
	})
}

// A journal that cannot be written is no reason to stop.
func TestRunWithoutJournal(t *testing.T) {
	site := newSite(t, plainOptions())
	o := fromStdin()
	o.Resume = filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(o, site, o.Target, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := &recorder{}
		r := Run(t.Context(), planOf(t, "/a.png\n"), &fakeWarmer{}, RunOptions{Concurrency: 2, Batch: 1, Journal: j}, p)
		if r.Warm != 6 || r.ExitCode != 0 || len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "what is done from now on is not kept for --resume: write journal:") || len(p.notes) != 1 {
			t.Errorf("%+v, %q", r, p.notes)
		}
	})
}

func TestOpenJournalErrors(t *testing.T) {
	site := newSite(t, plainOptions())
	o := fromStdin()
	o.Resume = filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(o, site, o.Target, "")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	misuse := func(o Options, want string) {
		t.Helper()
		if _, err := OpenJournal(o, site, o.Target, ""); err == nil || !strings.Contains(err.Error(), want) || ExitCode(nil, err) != 2 {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	misuse(o, "in use by another run")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Target, other.Limit, other.Concurrency = "http://u:p@t", 5, 9
	misuse(other, `belongs to a run with other options: --limit was "0" and is "5", --target was "" and is "http://redacted@t"; give the same options, or another file`)
	if _, err := OpenJournal(o, site, o.Target, "mozjpeg=false"); err == nil || !strings.Contains(err.Error(), `settings of images was "" and is "mozjpeg=false"`) {
		t.Errorf("other settings: %v", err)
	}
	other = o
	other.Resume = "resume_test.go"
	misuse(other, `--resume: "resume_test.go": exists and is not a journal of imgopt prewarm`)
	other.Resume = "nowhere/journal"
	misuse(other, "cannot be used: ")
}

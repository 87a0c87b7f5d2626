package handler

import (
	"context"
	"errors"
	"time"
)

// Purge says which variants are not to be served any more. Exactly one of its fields is set. It converts from and to
// cache.Purge.
type Purge struct {
	// URL is the source's url as the endpoint's url parameter names it, exactly.
	URL string `json:"url,omitempty"`
	// Prefix is what such urls begin with.
	Prefix string `json:"prefix,omitempty"`
	// All means every variant.
	All bool `json:"all,omitempty"`
}

// PurgeReport says what became of a purge. It converts from cache.PurgeReport.
type PurgeReport struct {
	// Stamp is the purge's place among all purges.
	Stamp uint64 `json:"stamp"`
	// Pending says that the purge holds in this process, and that the other replicas learn of it later.
	Pending bool `json:"pending"`
	// Heard is how many replicas, this one included, were told at once.
	Heard int `json:"heard"`
}

// Purger has variants made anew.
type Purger interface {
	// Purge returns when the purge holds in this process. An error beside a Stamp says that it does, but may be
	// forgotten when the process ends.
	Purge(ctx context.Context, p Purge) (PurgeReport, error)
}

// ClassReport counts the queued jobs of one priority.
type ClassReport struct {
	// Queued is the number of jobs nobody works on, those of the next two included.
	Queued int `json:"queued"`
	// Delayed is how many of them wait for their next attempt.
	Delayed int `json:"delayed"`
	// HeldBack is how many wait for others of their origin.
	HeldBack int `json:"heldBack"`
	// OldestSeconds is for how long the first that is ready has waited.
	OldestSeconds float64 `json:"oldestSeconds"`
}

// WorkerReport is one process that takes jobs from the queue.
type WorkerReport struct {
	// ID tells it from the others; it holds the host's name.
	ID string `json:"id"`
	// Version is the pipeline's: jobs are done by processes of the version that enqueued them.
	Version string `json:"version"`
	// SeenSeconds is how long ago it was last heard of.
	SeenSeconds float64 `json:"seenSeconds"`
}

// VersionReport describes the queue of another pipeline version, as there are during an upgrade.
type VersionReport struct {
	Version     string      `json:"version"`
	Interactive ClassReport `json:"interactive"`
	Background  ClassReport `json:"background"`
	Leased      int         `json:"leased"`
	// DeadTotal is how many dead letters it has. They can be retried by its own processes only.
	DeadTotal int `json:"deadTotal"`
}

// DeadLetter is a job that failed for good and that somebody may want to look at.
type DeadLetter struct {
	// ID is what Retry and Drop want.
	ID string `json:"id"`
	// Key is the job's.
	Key string `json:"key"`
	// Href, Width, Quality and Format are the variant's. Format is a media type, "" for the source's own.
	Href    string `json:"href"`
	Width   int    `json:"width"`
	Quality int    `json:"quality"`
	Format  string `json:"format"`
	// Status and Text are what clients were answered, Reason is the label in logs and metrics.
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Text   string `json:"text"`
	// Cause is what was behind it, for the eyes of operators.
	Cause string `json:"cause"`
	// Attempts were made.
	Attempts int `json:"attempts"`
	// At is when the last one failed.
	At time.Time `json:"at"`
}

// QueueReport describes a queue that several processes share.
type QueueReport struct {
	// Type is storage.type.
	Type string `json:"type"`
	// Version is the pipeline's of the process that was asked. What follows is of this version, but for Workers and Others.
	Version string `json:"version"`
	// Interactive and Background are the jobs that people wait for and the others.
	Interactive ClassReport `json:"interactive"`
	Background  ClassReport `json:"background"`
	// Leased is how many jobs are being worked on, by all processes.
	Leased int `json:"leased"`
	// Workers are those of all versions that were heard of lately.
	Workers []WorkerReport `json:"workers"`
	// Others are the queues of other versions that were in use lately.
	Others []VersionReport `json:"others,omitempty"`
	// Dead are dead letters, the latest first. There may be too many to list: DeadTotal counts them.
	Dead []DeadLetter `json:"dead"`
	// DeadTotal is how many dead letters there are, len(Dead) at least.
	DeadTotal int `json:"deadTotal"`
}

// QueueAdmin looks after a shared queue.
type QueueAdmin interface {
	// Queue describes the queue now.
	Queue(ctx context.Context) (QueueReport, error)
	// Retry enqueues the job of a dead letter again, or of all of them when all is set and id is "". It returns how many;
	// a letter that is not there is none, and no error.
	Retry(ctx context.Context, id string, all bool) (n int, err error)
	// Drop forgets dead letters, chosen as for Retry.
	Drop(ctx context.Context, id string, all bool) (n int, err error)
	// Cancel ends a job, queued or being worked on, and tells those who wait for it. False: there is no such job. key is
	// one that jobs.ParseKey takes.
	Cancel(ctx context.Context, key string) (bool, error)
}

// ReloadReport says what reading the configuration again has changed.
type ReloadReport struct {
	// Changed are the keys with a new value that is in force now.
	Changed []string `json:"changed"`
	// NeedRestart are the keys with a new value that only a restart puts in force.
	NeedRestart []string `json:"needRestart"`
}

// Reloader reads the configuration again.
type Reloader interface {
	// Reload puts the configuration as it is now in force. An error says why it was refused, naming key, value and what
	// is allowed; then nothing has changed.
	Reload(ctx context.Context) (ReloadReport, error)
}

// ReadyReport is the answer of /readyz.
type ReadyReport struct {
	Ready bool `json:"ready"`
	// Failing are the checks that make the service not ready.
	Failing []Failure `json:"failing"`
	// Degraded are the failed checks that the service does without (Check.Optional).
	Degraded []Failure `json:"degraded,omitempty"`
}

// ErrUnavailable is what the interfaces of the admin application return, wrapped, when what they need cannot be
// reached now. It is answered with 503 and Retry-After.
var ErrUnavailable = errors.New("not available now")

// Package metrics defines every metric of imgopt in one place, on a registry that is passed in. The rooms know
// nothing of Prometheus: whoever wires them calls the methods of Metrics from their hooks, and gives it functions
// that read what they hold.
//
// # METRICS
//
//	name                                        type       labels                  what
//	imgopt_http_requests_total                  counter    status reason cache     answered requests of the public listener
//	imgopt_http_request_duration_seconds        histogram  cache                   from the request's header to the answer's beginning
//	imgopt_http_response_bytes_total            counter    cache                   body bytes sent
//	imgopt_http_requests_in_flight              gauge                              requests being answered
//	imgopt_http_requests_coalesced_total        counter                            requests answered with work done for another
//	imgopt_cache_lookups_total                  counter    tier result             look-ups: hit (fresh or stale), miss
//	imgopt_cache_entries                        gauge      tier                    entries held
//	imgopt_cache_bytes                          gauge      tier                    bytes held, overhead included
//	imgopt_cache_max_bytes                      gauge      tier                    limit of imgopt_cache_bytes
//	imgopt_cache_evictions_total                counter    tier                    entries removed to make room
//	imgopt_cache_rejected_total                 counter    tier                    entries too large to be kept
//	imgopt_cache_errors_total                   counter    tier                    failures of the medium
//	imgopt_cache_corrupt_total                  counter    tier                    damaged entries found
//	imgopt_cache_revalidations_total            counter    outcome                 stale entries revalidated: changed, unchanged, failed
//	imgopt_fetch_duration_seconds               histogram  outcome                 one attempt to fetch a source
//	imgopt_fetch_failures_total                 counter    reason                  attempts that failed
//	imgopt_fetch_bytes_total                    counter                            bytes of sources fetched, decoded
//	imgopt_transform_duration_seconds           histogram  format outcome          one encoding: decode, orient, resize, encode
//	imgopt_transform_source_bytes_total         counter    format                  bytes of sources encoded
//	imgopt_transform_output_bytes_total         counter    format                  bytes of variants made
//	imgopt_transform_passthroughs_total         counter    format                  sources sent unchanged because of their type or animation
//	imgopt_transform_fallbacks_total            counter    reason                  sources sent unchanged because they could not be encoded
//	imgopt_job_wait_seconds                     histogram  kind                    from a job's acceptance to its first attempt
//	imgopt_job_duration_seconds                 histogram  kind outcome            from a job's acceptance to its end
//	imgopt_job_retries_total                    counter                            attempts after a job's first
//	imgopt_job_retry_budget_exhausted_total     counter                            attempts not repeated for want of budget
//	imgopt_jobs_coalesced_total                 counter    kind                    calls that joined a job that was there already
//	imgopt_jobs_refused_total                   counter    reason                  calls turned away before any work
//	imgopt_jobs_queued                          gauge      priority                jobs waiting for a slot or their next attempt
//	imgopt_jobs_oldest_wait_seconds             gauge      priority                how long the first ready job has waited
//	imgopt_jobs_in_flight                       gauge      priority                jobs being worked on by this process
//	imgopt_jobs_slots                           gauge      priority                jobs that this process can work on at once
//	imgopt_jobs_estimated_wait_seconds          gauge                              how long a job enqueued now would wait
//	imgopt_jobs_reclaimed_total                 counter                            jobs taken over from a process that died
//	imgopt_jobs_buried_total                    counter                            dead letters
//	imgopt_jobs_store_errors_total              counter                            jobs that could not be stored or read
//	imgopt_codec_processes                      gauge      state                   codec processes: all, busy; calls waiting for one
//	imgopt_codec_jobs_total                     counter    outcome                 encodings by end: encoded, failed, timeout, crashed, canceled, refused
//	imgopt_codec_replaced_total                 counter    reason                  codec processes replaced: lost, worn
//	imgopt_build_info                           gauge      version libvips go      always 1
//
// A request for a variant that is not there looks into the memory tier three times and into the others twice (before
// the queue, and once more when its job begins): the share of hits is in imgopt_http_requests_total. The codec metrics
// are there with transform.isolation: process.
//
// Beside these there are the go_ and process_ metrics of client_golang.
//
// Labels: status is 2xx, 3xx, 4xx or 5xx. reason is failure.Error's, or ok, not_modified, redirect; of a fallback
// crashed, timeout or codec. cache is hit, stale, miss, or none for an answer that is no image. outcome of a fetch is
// ok, not_modified, timeout or error, of an encoding ok, fallback or error, of a job one of the jobs package's. kind is
// miss, revalidate or prewarm, priority interactive or background. format is the subtype of the output's media type.
// No label's value comes from a client or an origin, and none takes more than 64 values: others are counted as other.
package metrics

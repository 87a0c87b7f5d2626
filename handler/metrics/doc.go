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
//	imgopt_http_waiting                         gauge                              requests that wait for work: not answered from memory
//	imgopt_http_clients_gone_total              counter                            clients that left before their answer (status 499 in the log)
//	imgopt_http_connections                     gauge                              open connections of the public listener
//	imgopt_http_response_memory_bytes           gauge                              bytes of the large bodies being sent, each counted once
//	imgopt_http_responses_cut_total             counter                            clients cut off because they did not read in time
//	imgopt_listener_accept_errors_total         counter    listener                connections that could not be accepted: out of descriptors
//	imgopt_saturated_seconds                    gauge                              for how long people have been refused for want of capacity
//	imgopt_memory_bytes                         gauge      pool                    bytes in use, or set aside, of a bounded pool
//	imgopt_memory_limit_bytes                   gauge      pool                    limit of imgopt_memory_bytes; 0: none
//	imgopt_memory_waiting                       gauge      pool                    how many wait for room in a pool
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
//	imgopt_fetch_circuits_open                  gauge                              origins left alone for a while because they failed too often
//	imgopt_transform_duration_seconds           histogram  format outcome          one encoding: decode, orient, resize, encode
//	imgopt_transform_source_bytes_total         counter    format                  bytes of sources encoded
//	imgopt_transform_output_bytes_total         counter    format                  bytes of variants made
//	imgopt_transform_passthroughs_total         counter    format                  sources sent unchanged because of their type or animation
//	imgopt_transform_fallbacks_total            counter    reason                  sources sent unchanged because they could not be encoded
//	imgopt_sources_poisoned_total               counter                            sources that crashed two codec processes
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
//	imgopt_jobs_utilization                     gauge                              share of the interactive slots in use, over about 10 s: 0 to 1
//	imgopt_jobs_abandoned_total                 counter                            jobs dropped because nobody waited for them any more
//	imgopt_jobs_reclaimed_total                 counter                            jobs taken over from a process that died
//	imgopt_jobs_buried_total                    counter                            dead letters
//	imgopt_jobs_store_errors_total              counter                            jobs that could not be stored or read
//	imgopt_codec_processes                      gauge      state                   codec processes: all, busy; calls waiting for one
//	imgopt_codec_utilization                    gauge                              share of the codec processes that are busy now: 0 to 1
//	imgopt_codec_busy_seconds_total             counter                            time codec processes were busy, all together
//	imgopt_codec_wait_seconds_total             counter                            time encodings waited for a codec process, all together
//	imgopt_codec_jobs_total                     counter    outcome                 encodings by end: encoded, failed, timeout, crashed, canceled, refused
//	imgopt_codec_replaced_total                 counter    reason                  codec processes replaced: lost, stopped, worn
//	imgopt_valkey_up                            gauge                              1 all of Valkey can be used, 0.5 some nodes of a cluster, 0 nothing
//	imgopt_valkey_changed_timestamp_seconds     gauge                              when that last changed
//	imgopt_valkey_commands_total                counter                            commands sent
//	imgopt_valkey_failures_total                counter                            commands not answered, or too late
//	imgopt_valkey_refused_total                 counter                            commands not sent because Valkey was known to be away
//	imgopt_valkey_connects_total                counter                            connections made
//	imgopt_valkey_commands_in_flight            gauge                              commands that wait for an answer
//	imgopt_queue_leased                         gauge                              jobs being worked on by all processes
//	imgopt_queue_workers                        gauge                              processes that work
//	imgopt_queue_dead_letters                   gauge                              dead letters kept
//	imgopt_queue_completions_pending            gauge                              jobs done here that the queue could not be told of yet
//	imgopt_queue_lost_total                     counter                            jobs waited for here that the server has forgotten
//	imgopt_queue_relocated_total                counter                            jobs done without the queue because it could not take them
//	imgopt_queue_unshared_total                 counter                            jobs done here while the queue could not be told
//	imgopt_purges_total                         counter    source                  purges learned of: here, elsewhere
//	imgopt_purge_records                        gauge                              different purges remembered
//	imgopt_purges_pending                       gauge                              purges that the other replicas do not know yet
//	imgopt_purge_errors_total                   counter                            failures to store purges or to share them
//	imgopt_purges_synced_timestamp_seconds      gauge                              when the purges of all replicas were last known here; 0 if never
//	imgopt_trace_spans_exported_total           counter                            spans that the collector has taken
//	imgopt_trace_spans_dropped_total            counter    reason                  spans dropped: overflow (too many waited), failed (not to be sent)
//	imgopt_trace_spans_waiting                  gauge                              spans that wait for the collector, or are under way to it
//	imgopt_reload_successful                    gauge                              1 if the configuration last read is in force, 0 if it was refused
//	imgopt_reload_success_timestamp_seconds     gauge                              when the configuration in force was read
//	imgopt_reload_failures_total                counter                            configurations refused when read again
//	imgopt_build_info                           gauge      version libvips go      always 1
//
// A request for a variant that is not there looks into the memory tier three times and into the others twice (before
// the queue, and once more when its job begins): the share of hits is in imgopt_http_requests_total. The codec metrics
// are there with transform.isolation: process.
//
// The metrics of Valkey and of the shared queue are there with storage.type: valkey. imgopt_queue_leased, _workers and
// _dead_letters then say the same in every process, and so do imgopt_jobs_queued and imgopt_jobs_oldest_wait_seconds
// as long as nothing was relocated: take their maximum, not their sum. Neither is there while the queue cannot be
// asked. Of the tier that is in Valkey there are neither entries, bytes nor evictions: Valkey's own metrics have them.
//
// The metrics of traces are there while tracing is on (tracing.endpoint).
//
// Beside these there are the go_ and process_ metrics of client_golang.
//
// Labels: status is 2xx, 3xx, 4xx or 5xx. reason is failure.Error's, or ok, not_modified, redirect; of a fallback
// crashed, poisoned (it crashed two codecs a while ago and was not tried again), timeout or codec. cache is hit,
// stale, miss, or none for an answer that is no image. outcome of a fetch is ok, not_modified, timeout or error, of
// an encoding ok, fallback or error, of a job one of the jobs package's. kind is miss, revalidate or prewarm,
// priority interactive or background. listener is public or admin. pool is sources (bytes fetched and results),
// decode (estimates of what the encodings under way take) or responses (bytes being sent). tier is memory, disk or
// valkey. source is here (asked of this process) or elsewhere. format is the subtype of the output's media type. No label's value comes from a client or an origin, and none takes more than 64 values:
// others are counted as other.
//
// # Scaling
//
// Hits cost next to nothing; what runs out is the CPU for encodings. An autoscaler that adds replicas wants one of:
//
//   - sum(rate(imgopt_codec_busy_seconds_total[1m])) / sum(imgopt_codec_processes{state="all"}), target 0.6 to 0.7: the
//     share of its time that a codec works. It rises before anybody waits, means the same whatever the size of a
//     replica, and takes any averaging. The first choice, with transform.isolation: process.
//   - avg(imgopt_jobs_utilization), where codecs run in the process. A slot is held while a source is fetched, too, and
//     one origin may only hold its share of them (fetch.hostShare), so with one origin the target is below that share.
//   - max(imgopt_jobs_oldest_wait_seconds{priority="interactive"}) or max(imgopt_jobs_estimated_wait_seconds), target a
//     second or two: what people feel. It is 0 until it is nearly too late: beside one of the others, not alone.
//
// imgopt_saturated_seconds is for alerts, not for scaling: from the first second on people are being refused. (/readyz
// fails after the configured time of it, so that others get the requests.) Neither is the memory of the process, which
// the cache fills on purpose; imgopt_memory_waiting above 0 for long says that a replica wants more memory, not that
// more replicas are wanted. imgopt_codec_utilization is a snapshot: for dashboards, too jumpy to scale by. Revalidation
// and pre-warming give way to people, so what says priority="background" should add no replica.
package metrics

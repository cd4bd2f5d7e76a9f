"""What a replica measures about itself, for Prometheus. Names and units by Prometheus' conventions."""

from prometheus_client import Counter, Gauge, Histogram

MILLISECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

freshness = Histogram(
    "freshet_freshness_seconds",
    "From a click's arrival in Kafka to this replica's memory, for real traffic",
    buckets=MILLISECONDS,
)
profile_delay = Histogram(
    "freshet_profile_delay_seconds",
    "From a click's arrival in Kafka to this replica's memory by way of a stream worker, in the profile that it wrote",
    buckets=MILLISECONDS,
)
reads_ahead = Gauge(
    "freshet_replica_reads_ahead", "1 while the replica reads clicks as they reach Kafka; 0: it has them from workers"
)
pending = Gauge(
    "freshet_pending_interactions",
    "What users did that no stream worker's profile reflects yet: interactions, and one more for each user",
)
apply_delay = Histogram(
    "freshet_apply_delay_seconds",
    "From the writing of a profile by the stream worker to this replica's memory",
    buckets=MILLISECONDS,
)
request_seconds = Histogram(
    "freshet_request_seconds", "Time to answer, by route and status", ["route", "status"], buckets=MILLISECONDS
)
in_flight = Gauge("freshet_requests_in_flight", "Requests being answered")
events = Counter(
    "freshet_intake_records",
    "Records received over HTTP; type: the interaction's, the user change's, or item and deletion",
    ["topic", "outcome", "type"],
)
intake_seconds = Histogram(
    "freshet_intake_seconds", "From a valid record over HTTP to Kafka's confirmation", ["topic"], buckets=MILLISECONDS
)
after_seconds = Histogram(
    "freshet_after_seconds",
    "How long requests with after= waited for the event, and whether the slate reflects it",
    ["fresh"],
    buckets=MILLISECONDS,
)
intake_waiting = Gauge("freshet_intake_waiting_bytes", "Records received over HTTP that Kafka has not confirmed yet")
candidates = Counter("freshet_candidates", "Candidates that each source gave", ["source"])
source_seconds = Histogram(
    "freshet_source_seconds", "Time in each source", ["source"], buckets=(0.0001, 0.0005, *MILLISECONDS)
)
stage_seconds = Histogram(
    "freshet_stage_seconds", "Time in each stage", ["stage"], buckets=(0.0001, 0.0005, *MILLISECONDS)
)
source_failures = Counter("freshet_source_failures", "Sources that failed or were late", ["source", "how"])
removed = Counter("freshet_candidates_removed", "Candidates taken out by each filter", ["filter"])
slates = Counter("freshet_slates", "Slates served; fallback: what stood in for a personal one", ["fallback"])
slate_items = Histogram("freshet_slate_items", "Items in a slate", buckets=(0, 1, 5, 10, 20, 50, 100, 200))
exposures_dropped = Counter("freshet_exposures_dropped", "Exposures lost because Kafka was away too long")
refused_records = Counter("freshet_followed_records_refused", "Followed records that could not be read", ["topic"])
lag_records = Gauge("freshet_replica_lag_records", "Records behind the ends of the followed topics")
lag_seconds = Gauge(
    "freshet_replica_lag_seconds", "How long ago the replica last knew all that was in Kafka; up to 3 s are normal"
)
ready = Gauge("freshet_replica_ready", "1 once the replica has caught up")
stale = Gauge("freshet_replica_stale", "1 while Kafka is away")
snapshot_current = Gauge(
    "freshet_snapshot_current_timestamp_seconds", "The moment up to which the snapshot on disk reflects all, Unix time"
)
snapshot_bytes = Gauge("freshet_snapshot_bytes", "Size of the snapshot on disk")
snapshot_seconds = Gauge("freshet_snapshot_seconds", "How long the last snapshot was written, in the background")
snapshot_load_seconds = Gauge("freshet_snapshot_load_seconds", "How long the snapshot took to load; 0: none was")
snapshot_stall = Gauge("freshet_snapshot_stall_seconds", "Longest time that the last snapshot held up requests")
snapshot_failures = Counter("freshet_snapshot_failures", "Snapshots that could not be written")
snapshot_discarded = Counter(
    "freshet_snapshot_discarded", "Snapshots, or states of a replica, that could not be gone on from", ["reason"]
)
log_tail_open = Gauge(
    "freshet_log_tail_open", "1 while somebody looks at the live page, so that the log's ends are read"
)
held = Gauge("freshet_replica_held", "How many items, vectors and profiles the replica holds", ["what"])
model_info = Gauge(
    "freshet_model_info", "1 for the version of each model that requests are answered with", ["name", "version"]
)
model_refused = Counter(
    "freshet_model_refused", "Versions that should be active and could not be taken; the one before stays", ["name"]
)
live_judged = Counter("freshet_live_judged", "Choices of followed users that were looked up", ["slice"])
live_recall = Gauge(
    "freshet_live_recall_at_10", "Share of the last 2,000 judged choices that stood in the first ten", ["slice"]
)
live_ndcg = Gauge("freshet_live_ndcg_at_10", "Mean nDCG@10 of the last 2,000 judged choices", ["slice"])
live_rank = Gauge(
    "freshet_live_reciprocal_rank", "Mean reciprocal rank of the last 2,000 judged choices, of 100 places", ["slice"]
)
live_skipped = Counter("freshet_live_skipped", "Choices that the live meter did not judge, by why", ["reason"])
live_meter_seconds = Histogram(
    "freshet_live_meter_seconds", "Time in each slate that is made to be judged", buckets=MILLISECONDS
)
items_shown = Counter("freshet_items_shown", "Items in the slates of this replica", ["variant", "scenario"])
items_chosen = Counter(
    "freshet_items_chosen", "Shown items that their user chose within half an hour", ["variant", "scenario"]
)
index_vectors = Gauge("freshet_index_vectors", "Vectors that can be found", ["index"])
index_fresh = Gauge(
    "freshet_index_fresh_vectors", "Rows in the exact buffer beside an approximate index; 0: all is exact", ["index"]
)
index_dead = Gauge("freshet_index_dead_vectors", "Rows that were replaced or removed and still take memory", ["index"])
index_rebuilds = Counter("freshet_index_rebuilds", "How often the index was built anew", ["index"])
index_rebuild_seconds = Gauge("freshet_index_rebuild_seconds", "How long the last rebuild took; 0: none was", ["index"])
index_recall = Gauge(
    "freshet_index_recall_at_50", "Share of the exact nearest 50 that sampled searches found, once a minute", ["index"]
)
search_encoding_seconds = Histogram(
    "freshet_search_encoding_seconds", "The text encoder's part of /v1/search", buckets=MILLISECONDS
)

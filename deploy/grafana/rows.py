"""What each dashboard shows: rows of panels."""

from panels import RATE, Row, lines, mean, number, per_slate, quantile, quantiles, rates

GOOD_FROM_ONE = [(None, "red"), (1, "green")]
BAD_FROM_ONE = [(None, "green"), (1, "red")]
SLOW = [(None, "green"), (0.1, "yellow"), (1, "red")]
ASKED = '{route!~"/health/.*|/metrics"}'
PROCESSES: Row = (
    "Processes",
    [
        lines(
            "Memory",
            "bytes",
            ('process_resident_memory_bytes{job=~"freshet-.+"}', "{{job}} {{instance}}"),
            about="Resident.",
        ),
        lines(
            "Processor",
            "short",
            (f'rate(process_cpu_seconds_total{{job=~"freshet-.+"}}{RATE})', "{{job}} {{instance}}"),
            about="Cores in use.",
        ),
    ],
)
CLICK_TO_MEMORY = lines(
    "Click to memory",
    "s",
    *quantiles("freshet_freshness_seconds", shares=(0.5, 0.95, 0.99)),
    about="From a click's arrival in Kafka to the replicas' memory: every slate after that reflects it.",
)
CLICK_TO_PROFILE = lines(
    "Click to profile",
    "s",
    *quantiles("freshet_profile_delay_seconds", shares=(0.5, 0.95, 0.99)),
    about="From a click's arrival in Kafka through a worker to the replicas' memory. Slates reflect it sooner.",
)
STAGES = lines(
    "Where the time goes, mean",
    "s",
    (mean("freshet_stream_freshness_stage_seconds", "stage"), "{{stage}}"),
    (mean("freshet_apply_delay_seconds"), "apply"),
    about="wait: in Kafka, until the batch begins. update: profiles and signals. write: until the profiles are on "
    "their way. apply: from there into the replicas' memory. In this order they make up the way of a profile.",
)
INTERACTIONS = lines(
    "Interactions a second", "ops", rates("freshet_stream_interactions_total", "type", "outcome"), about="As applied."
)
WAITING = lines(
    "Oldest waiting record",
    "s",
    ("max by (topic) (freshet_stream_lag_seconds)", "{{topic}}"),
    about="How long it has been in Kafka.",
)
REQUESTS = lines("Requests a second", "reqps", rates("freshet_request_seconds_count", "route", "status"))
CLICK_THROUGH = (
    f"sum by (variant, scenario) (rate(freshet_items_chosen_total{RATE}))"
    f" / sum by (variant, scenario) (rate(freshet_items_shown_total{RATE}))",
    "{{variant}} {{scenario}}",
)
RECALL = lines("Recall@10, live", "percentunit", ("avg by (slice) (freshet_live_recall_at_10)", "{{slice}} users"))
NDCG = lines("nDCG@10, live", "short", ("avg by (slice) (freshet_live_ndcg_at_10)", "{{slice}} users"))

OVERVIEW: list[Row] = [
    (
        "",
        [
            number("Workers", "none", 'count(up{job="freshet-stream"} == 1) or vector(0)', GOOD_FROM_ONE),
            number("Replicas ready", "none", "sum(freshet_replica_ready)", GOOD_FROM_ONE),
            number("Replicas stale", "none", "sum(freshet_replica_stale)", BAD_FROM_ONE),
            number("Freshness p99", "s", quantile(0.99, "freshet_freshness_seconds", window="[5m]"), SLOW),
            number("Request p99", "s", quantile(0.99, "freshet_request_seconds", "", "[5m]", ASKED), SLOW),
            number(
                "Dead letters, last hour", "short", "sum(increase(freshet_stream_dead_letters_total[1h]))", SLOW[:2]
            ),
        ],
    ),
    ("Clicks", [INTERACTIONS, WAITING, CLICK_TO_MEMORY, STAGES]),
    (
        "Slates",
        [
            REQUESTS,
            lines("Slates by fallback", "ops", rates("freshet_slates_total", "fallback")),
            RECALL,
            lines("Click-through", "percentunit", CLICK_THROUGH, about="Share of the shown items that were chosen."),
        ],
    ),
    PROCESSES,
]

STREAM: list[Row] = [
    (
        "Lag",
        [
            lines(
                "Records that wait",
                "short",
                ("sum by (topic) (freshet_stream_lag_records)", "{{topic}}"),
                about="As the workers' own fetches tell, of the partitions that they have.",
            ),
            WAITING,
            lines("Partitions owned", "none", ("freshet_stream_partitions_owned", "{{instance}}")),
        ],
    ),
    (
        "Records",
        [
            INTERACTIONS,
            lines("Dead letters a second", "ops", rates("freshet_stream_dead_letters_total", "topic", "reason")),
            lines(
                "Dead letters' share",
                "percentunit",
                (
                    f"sum(rate(freshet_stream_dead_letters_total{RATE}))"
                    f" / sum(rate(freshet_stream_batch_records_sum{RATE}))",
                    "of the records read",
                ),
            ),
            lines(
                "Records in a batch",
                "short",
                (mean("freshet_stream_batch_records", "topic"), "mean {{topic}}"),
                (quantile(0.99, "freshet_stream_batch_records", "topic"), "p99 {{topic}}"),
            ),
            lines("Seconds of a batch", "s", *quantiles("freshet_stream_batch_seconds", "topic")),
            lines("Profiles written", "Bps", rates("freshet_stream_profile_bytes_total")),
        ],
    ),
    (
        "Freshness",
        [
            CLICK_TO_MEMORY,
            CLICK_TO_PROFILE,
            STAGES,
            lines("Stages", "s", *quantiles("freshet_stream_freshness_stage_seconds", "stage")),
        ],
    ),
    (
        "Embedding",
        [
            lines(
                "Items embedded",
                "short",
                rates("freshet_stream_items_embedded_total"),
                (
                    f"sum(rate(freshet_stream_items_embedded_total{RATE}))"
                    f" / sum(rate(freshet_stream_embedding_seconds_total{RATE}))",
                    "a second of encoding",
                ),
            ),
            lines("Items that wait for the encoder", "short", ("freshet_stream_items_waiting", "{{instance}}")),
            lines("Text encoder", "none", ("count by (name, version) (freshet_stream_model_info)", "{{version}}")),
        ],
    ),
    PROCESSES,
]

SERVING: list[Row] = [
    (
        "Requests",
        [
            REQUESTS,
            lines("Latency by route", "s", *quantiles("freshet_request_seconds", "route")),
            lines("Requests in flight", "short", ("freshet_requests_in_flight", "{{instance}}")),
            lines(
                "Records received over HTTP", "ops", rates("freshet_intake_records_total", "topic", "type", "outcome")
            ),
            lines(
                "Kafka's confirmation",
                "s",
                *quantiles("freshet_intake_seconds", "topic"),
                ("max(freshet_intake_waiting_bytes)", "bytes that wait"),
                about="How long records received over HTTP wait for it.",
            ),
            lines("Waits of requests with after=", "s", *quantiles("freshet_after_seconds", "fresh")),
        ],
    ),
    (
        "Slates",
        [
            lines("Candidates by source", "short", per_slate("freshet_candidates_total", "source")),
            lines("Removed by filter", "short", per_slate("freshet_candidates_removed_total", "filter")),
            lines("Slates by fallback", "ops", rates("freshet_slates_total", "fallback")),
            lines("Seconds of a source", "s", (quantile(0.99, "freshet_source_seconds", "source"), "p99 {{source}}")),
            lines("Seconds of a stage", "s", *quantiles("freshet_stage_seconds", "stage")),
            lines("Sources failed or late", "ops", rates("freshet_source_failures_total", "source", "how")),
            lines(
                "Items in a slate",
                "short",
                (mean("freshet_slate_items"), "items"),
                (f"sum(rate(freshet_exposures_dropped_total{RATE}))", "exposures lost a second"),
            ),
            lines("The text encoder in a search", "s", *quantiles("freshet_search_encoding_seconds")),
        ],
    ),
    (
        "What replicas know",
        [
            CLICK_TO_MEMORY,
            lines("Profile to memory", "s", *quantiles("freshet_apply_delay_seconds", shares=(0.5, 0.95, 0.99))),
            lines("Replica lag", "short", ("freshet_replica_lag_records", "{{instance}}")),
            lines("Replica lag in seconds", "s", ("freshet_replica_lag_seconds", "{{instance}}")),
            lines(
                "Ready and stale",
                "none",
                ("freshet_replica_ready", "ready {{instance}}"),
                ("freshet_replica_stale", "stale {{instance}}"),
            ),
            lines("What replicas hold", "short", ("freshet_replica_held", "{{what}} {{instance}}")),
            lines("Followed records refused", "ops", rates("freshet_followed_records_refused_total", "topic")),
            lines("Snapshot on disk", "bytes", ("freshet_snapshot_bytes", "{{instance}}")),
        ],
    ),
    (
        "Indexes",
        [
            lines(
                "Vectors",
                "short",
                ("freshet_index_vectors", "{{index}} {{instance}}"),
                ("freshet_index_fresh_vectors", "fresh, {{index}} {{instance}}"),
                ("freshet_index_dead_vectors", "dead, {{index}} {{instance}}"),
            ),
            lines(
                "Rebuilds", "short", ("sum by (index) (increase(freshet_index_rebuilds_total[1h]))", "{{index}}, 1 h")
            ),
            lines("Seconds of the last rebuild", "s", ("freshet_index_rebuild_seconds", "{{index}} {{instance}}")),
        ],
    ),
    PROCESSES,
]

QUALITY: list[Row] = [
    (
        "Live",
        [
            RECALL,
            NDCG,
            lines(
                "Reciprocal rank, live", "short", ("avg by (slice) (freshet_live_reciprocal_rank)", "{{slice}} users")
            ),
            lines("Choices judged a second", "ops", rates("freshet_live_judged_total", "slice")),
            lines("Choices not judged", "ops", rates("freshet_live_skipped_total", "reason")),
            lines("What judging costs", "s", *quantiles("freshet_live_meter_seconds")),
        ],
    ),
    (
        "What users do",
        [
            lines("Click-through", "percentunit", CLICK_THROUGH, about="Share of the shown items that were chosen."),
            lines("Items shown a second", "ops", rates("freshet_items_shown_total", "variant", "scenario")),
            lines(
                "Slates that are not personal",
                "percentunit",
                (
                    f'sum(rate(freshet_slates_total{{fallback!="none"}}{RATE}))'
                    f" / sum(rate(freshet_slates_total{RATE}))",
                    "of all",
                ),
            ),
        ],
    ),
    (
        "Models and indexes",
        [
            lines(
                "Versions in use",
                "none",
                ("count by (name, version) (freshet_model_info)", "{{name}} {{version}}"),
                about="How many replicas answer with each.",
            ),
            lines("Versions refused", "ops", rates("freshet_model_refused_total", "name")),
            lines(
                "Recall@50 of the index",
                "percentunit",
                ("min by (index) (freshet_index_recall_at_50)", "{{index}}"),
                about="Against an exact search, by samples; the worst replica.",
            ),
        ],
    ),
]

DASHBOARDS = {"overview": OVERVIEW, "stream": STREAM, "serving": SERVING, "quality": QUALITY}

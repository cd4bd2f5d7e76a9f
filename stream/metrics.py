"""What a worker measures about itself, for Prometheus. Names and units by Prometheus' conventions."""

from prometheus_client import Counter, Gauge, Histogram

interactions = Counter(
    "freshet_stream_interactions",
    "Interactions applied, by type and what became of them",
    ["type", "outcome"],
)
dead_letters = Counter("freshet_stream_dead_letters", "Records sent to the dead letters", ["topic", "reason"])
batch_records = Histogram(
    "freshet_stream_batch_records",
    "Records in one batch",
    ["topic"],
    buckets=(1, 2, 5, 10, 50, 200, 500, 1000, 2000),
)
batch_seconds = Histogram(
    "freshet_stream_batch_seconds",
    "Computing one batch, writing not included",
    ["topic"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
profile_bytes = Counter("freshet_stream_profile_bytes", "Bytes of profiles written to Kafka")
items_embedded = Counter("freshet_stream_items_embedded", "Items whose text went through the encoder")
embedding_seconds = Counter("freshet_stream_embedding_seconds", "Seconds spent in the encoder")
partitions_owned = Gauge("freshet_stream_partitions_owned", "Partitions whose state this worker holds")

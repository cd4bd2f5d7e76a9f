"""What a worker measures about itself, for Prometheus. Names and units by Prometheus' conventions."""

from collections.abc import Iterable
from functools import partial

from prometheus_client import Counter, Gauge, Histogram

from domain.errors import EventError
from stream.lag import Lag

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30, 300)

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
items_waiting = Gauge("freshet_stream_items_waiting", "Items read from Kafka whose text waits for the encoder")
embedding_seconds = Counter("freshet_stream_embedding_seconds", "Seconds spent in the encoder")
partitions_owned = Gauge("freshet_stream_partitions_owned", "Partitions whose state this worker holds")
lag_records = Gauge("freshet_stream_lag_records", "Records that wait in this worker's partitions", ["topic"])
lag_seconds = Gauge(
    "freshet_stream_lag_seconds", "How long the oldest record that waits has been in Kafka; 0: none waits", ["topic"]
)
model_info = Gauge(
    "freshet_stream_model_info", "1 for the text encoder that items are embedded with", ["name", "version"]
)
_stage_seconds = Histogram(
    "freshet_stream_freshness_stage_seconds",
    "The worker's part of the way of a click, stage by stage, one observation a batch",
    ["stage"],
    buckets=SECONDS,
)
waited = _stage_seconds.labels("wait")
updated = _stage_seconds.labels("update")
written = _stage_seconds.labels("write")
"""From the click's arrival in Kafka until its batch begins (of the batch's oldest record); the computing of profiles
and signals; from there until all but the profiles is durable and these are handed to Kafka."""


def from_zero(topics: Iterable[tuple[str, str]], types: Iterable[str], lag: Lag) -> None:
    """Makes what can be counted visible before it happens: a rate needs the zero before the first one.

    Args:
        topics: name and full name of each topic that the worker reads.
        types: the interaction types.
        lag: how far the worker is behind.
    """
    for kind in types:
        interactions.labels(kind, "new")
    for name, topic in topics:
        for error in EventError.__subclasses__():
            dead_letters.labels(topic, error.reason)
        lag_records.labels(name).set_function(partial(lag.records, topic))
        lag_seconds.labels(name).set_function(partial(lag.seconds, topic))

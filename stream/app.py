"""Wiring: a Faust app with three agents over the design's topics."""

import logging
import tempfile
from collections.abc import Iterable
from functools import partial
from typing import Any

import faust
from faust.types import TP
from prometheus_client import start_http_server

from domain.settings import StreamSettings, effective
from domain.topics import INTERACTIONS, ITEMS, STREAM_GROUP, USERS
from embeddings.encoder import TextEncoder
from stream import metrics
from stream.agents import Agents, Handler, consume
from stream.backlog import READ_TOPICS
from stream.batching import BatchApp
from stream.membership import Membership
from stream.outbox import Outbox
from stream.owned_partitions import OwnedPartitions
from stream.restore import restore_partition, restore_text_hashes
from stream.topic_watch import watch_topics
from stream.watchdog import Steps, Watchdog
from tracing import tracer_of

log = logging.getLogger(__name__)


def create_app(settings: StreamSettings, encoder: TextEncoder) -> BatchApp:
    """Returns the worker's Faust app. Nothing connects before it is started."""
    options = settings.kafka_options()
    app = BatchApp(
        settings.topic(STREAM_GROUP),
        broker=[f"kafka://{server}" for server in options["bootstrap_servers"]],
        broker_credentials=_credentials(settings, options),
        broker_commit_interval=settings.commit_interval_s,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_check_crcs=True,
        stream_wait_empty=True,  # a graceful stop finishes its batches
        stream_buffer_maxsize=64,  # batches, not records
        topic_allow_declare=False,  # topics are made by `freshet topics create`
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="freshet-faust-"),  # Faust wants a folder; nothing of ours is in it
        autodiscover=False,
    )
    steps = Steps()
    compression = None if settings.worker_compression == "none" else settings.worker_compression
    outbox = Outbox(options | {"compression_type": compression}, Membership(settings.session_timeout_s), steps.take)
    users = OwnedPartitions(lambda partition: restore_partition(settings, partition, outbox, steps.take))
    items = OwnedPartitions(lambda partition: restore_text_hashes(settings, partition, steps.take))
    agents = Agents(settings, outbox, encoder, users, items, tracer_of(settings, "freshet-stream"))
    app.fetch_max_wait_ms = settings.fetch_max_wait_ms
    app.outbox = outbox
    app.watchdog = Watchdog(settings, steps, app.assigned)
    metrics.partitions_owned.set_function(lambda: len(users))
    metrics.model_info.labels("text", encoder.version).set(1)
    read = [(name, settings.topic(name)) for name in READ_TOPICS]
    metrics.from_zero(read, settings.all_interaction_types(), app.lag)
    _add_agent(app, settings.topic(INTERACTIONS), INTERACTIONS, agents.interactions)
    _add_agent(app, settings.topic(USERS), USERS, agents.user_changes)
    _add_agent(app, settings.topic(ITEMS), ITEMS, agents.items)

    @app.on_before_configured.connect
    def announce(_: object, **__: object) -> None:
        log.info("settings: %s", effective(settings))

    @app.task(on_leader=False)
    async def started() -> None:
        if settings.worker_metrics_port:
            start_http_server(settings.worker_metrics_port, settings.worker_metrics_host)

    @app.task(on_leader=False)
    async def watch() -> None:
        await watch_topics(settings)

    @app.on_partitions_revoked.connect
    async def forget(_: object, revoked: Iterable[TP], **__: object) -> None:
        await outbox.flush()
        app.lag.forget(revoked)
        gone = {tp.partition for tp in revoked}
        users.drop(gone)
        items.drop(gone)

    @app.on_partitions_assigned.connect
    async def take_over(_: object, assigned: Iterable[TP], **__: object) -> None:
        # Not when the first event comes: what a zombie overwrote must be mended in a quiet partition as well.
        users.take({tp.partition for tp in assigned if tp.topic == settings.topic(INTERACTIONS)})

    return app


def _add_agent(app: BatchApp, topic: str, name: str, handle: Handler) -> None:
    async def body(stream: Any) -> None:  # noqa: ANN401
        await consume(name, stream, handle, lambda batch: app.outbox.when_written(partial(app.lag.handled, batch)))

    app.agent(app.batch_topic(topic), name=f"freshet-{name}", concurrency=1)(body)


def _credentials(settings: StreamSettings, options: dict[str, Any]) -> Any:  # noqa: ANN401
    if settings.security_protocol == "PLAINTEXT":
        return None
    context = options.get("ssl_context")
    if settings.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        mechanism=settings.sasl_mechanism,
        ssl_context=context,
    )

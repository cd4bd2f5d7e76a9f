"""Runs a replica: loads the encoder, binds, serves until a signal says stop."""

import logging

import uvicorn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

from domain.closed_connections import fail_as_closed
from domain.garbage import collect_rarely
from domain.settings import ServingSettings, effective
from embeddings.encoder import TextEncoder
from serving.app import create_app
from serving.replica import build_replica

log = logging.getLogger(__name__)

COLLECT_AFTER = 10_000
"""New objects between two looks of the garbage collector, which then take a millisecond."""


def serve(settings: ServingSettings) -> None:
    """Runs a replica in this process.

    Raises:
        ConfigError: unsafe settings; nothing has been bound then.
        ModelUnavailable: the text encoder cannot be loaded.
    """
    settings.refuse_unsafe()
    log.info("settings: %s", effective(settings))
    app = create_app(build_replica(settings, _encoder(settings) if settings.search else None))
    collect_rarely(COLLECT_AFTER)
    fail_as_closed(AIOKafkaConnection, CloseReason.CONNECTION_BROKEN, KafkaConnectionError)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,  # /metrics counts requests by route and status
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()


def _encoder(settings: ServingSettings) -> TextEncoder:
    from embeddings.transformer import TransformerEncoder  # noqa: PLC0415 - loads torch: seconds and 300 MB

    return TransformerEncoder(settings.embedding_model, settings.torch_threads)

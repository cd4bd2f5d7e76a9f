"""Runs a stream worker in this process until a signal says stop."""

import logging

import faust
import mode.loop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

from domain.closed_connections import fail_as_closed
from domain.garbage import collect_rarely, pass_over_what_is_here
from domain.settings import StreamSettings
from embeddings.transformer import TransformerEncoder
from stream.app import create_app
from stream.priority import give_way
from stream.topic_admin import check_topics

log = logging.getLogger(__name__)

COLLECT_AFTER = 200_000
"""Objects made and not yet gone at which the garbage collector looks at them; Python's own 700 are a moment's work
here, where one fetch brings thousands of records. More than a batch makes, and what it makes goes with it: with 20,000
it looked in the midst of each, at what was all in use, a fourteenth of the processor time."""


def work(settings: StreamSettings) -> None:
    """Runs a worker; returns by SystemExit when it is told to stop, after finishing its batches.

    Raises:
        TopicError: a topic is missing or has the wrong shape; nothing has been read then.
        ModelUnavailable: the text encoder cannot be loaded.
    """
    check_topics(settings)
    mode.loop.use("uvloop")
    fail_as_closed(AIOKafkaConnection, CloseReason.CONNECTION_BROKEN, KafkaConnectionError)
    encoder = TransformerEncoder(settings.embedding_model, settings.torch_threads, settings.embedding_batch)
    app = create_app(settings, encoder)
    collect_rarely(COLLECT_AFTER)
    pass_over_what_is_here()
    give_way(settings.worker_nice)
    worker = faust.Worker(
        app,
        loglevel=settings.log_level,
        override_logging=False,  # the command line has set it up
        redirect_stdouts=False,
        quiet=True,
    )
    worker.execute_from_commandline()

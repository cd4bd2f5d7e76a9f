"""Runs a stream worker in this process until a signal says stop."""

import gc
import logging

import faust
import mode.loop

from domain.settings import StreamSettings
from embeddings.transformer import TransformerEncoder
from stream.app import create_app
from stream.topic_admin import check_topics

log = logging.getLogger(__name__)

COLLECT_AFTER = 100_000
"""Objects made and not yet gone at which the garbage collector looks at them; Python's own 700 are a moment's work
here, where one fetch brings thousands of records."""


def work(settings: StreamSettings) -> None:
    """Runs a worker; returns by SystemExit when it is told to stop, after finishing its batches.

    Raises:
        TopicError: a topic is missing or has the wrong shape; nothing has been read then.
        ModelUnavailable: the text encoder cannot be loaded.
    """
    check_topics(settings)
    mode.loop.use("uvloop")
    encoder = TransformerEncoder(settings.embedding_model, settings.torch_threads, settings.embedding_batch)
    app = create_app(settings, encoder)
    collect_rarely()
    worker = faust.Worker(
        app,
        loglevel=settings.log_level,
        override_logging=False,  # the command line has set it up
        redirect_stdouts=False,
        quiet=True,
    )
    worker.execute_from_commandline()


def collect_rarely() -> None:
    """Takes what is there by now, most of it modules, out of the garbage collector's sight, and calls it less often.

    Events make no cycles: what they leave goes by itself. Looking for it took a quarter of the processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])

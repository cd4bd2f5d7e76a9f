"""How the long-running commands log: one line an event, on standard error, libraries only when they warn."""

import logging

QUIET = (
    "faiss",
    "stream.batching",
    "aiokafka",
    "kafka",
    "faust",
    "mode",
    "asyncio",
    "httpx",
    "urllib3",
    "transformers",
)


def set_up_logging(level: str) -> None:
    """Sets up logging for this process; at DEBUG the libraries speak too."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if level != "DEBUG":
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)

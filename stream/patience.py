"""Reading Kafka beside Faust, with a consumer for the purpose; a broker that is away is waited for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from domain.errors import BrokerUnavailable
from domain.log_reader import reader_options
from domain.settings import KafkaSettings
from stream.outbox import may_pass

log = logging.getLogger(__name__)

Work = Callable[[AIOKafkaConsumer], Awaitable[None]]


async def patiently(settings: KafkaSettings, work: Work) -> None:
    """Hands a consumer to `work`, which starts again from nothing each time that the broker goes away.

    Args:
        settings: how to reach the broker.
        work: must be able to run twice.
    """
    pause_s = 0.1
    while not await _done(settings, work):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


async def _done(settings: KafkaSettings, work: Work) -> bool:
    consumer = AIOKafkaConsumer(**reader_options(settings))
    try:
        await consumer.start()
        await work(consumer)
    except (KafkaError, BrokerUnavailable) as error:
        if not isinstance(error, BrokerUnavailable) and not may_pass(error):
            raise
        log.warning("Kafka is away; trying again: %s", error)
        return False
    finally:
        await consumer.stop()
    return True

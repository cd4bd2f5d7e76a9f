"""The last look at the lease: at the socket, after everything that takes time.

Between the outbox's question and the sending lie the building of batches, aiokafka's own tasks, and whatever else the
event loop does meanwhile, such as a batch of thousands of events: a process that is stopped there goes on with writes
that are another's by then.
"""

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.protocol.produce import ProduceRequest

from stream.membership import Membership


def only_with_lease(producer: AIOKafkaProducer, membership: Membership) -> None:
    """Lets a producer write only while nobody else can have this worker's partitions.

    What is held back fails with KafkaTimeoutError, which aiokafka does not try again by itself; the outbox does, once
    it has asked for the lease anew.
    """
    send = producer.client.send

    async def send_or_hold_back(node_id: int, request: object, **options: Any) -> Any:  # noqa: ANN401 - as aiokafka has it
        if isinstance(request, ProduceRequest) and not membership.holds:
            raise KafkaTimeoutError("the lease on the partitions ran out on the way to the socket")
        return await send(node_id, request, **options)

    producer.client.send = send_or_hold_back

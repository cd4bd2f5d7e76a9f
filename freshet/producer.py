"""The Emitter's way to Kafka: bounded, and every failure one of Freshet's errors. Knows bytes, no records."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from domain.errors import BrokerUnavailable, DeliveryError, FreshetError, TopicError
from domain.positions import Position, to_token
from domain.settings import KafkaSettings
from tracing import Span, headers_of, tracer_of

BATCH_BYTES = 131_072
"""Eight times kafka-python's own, which caps throughput at a few hundred events a request."""

BLOCK_MS = 10_000
"""How long to wait for a first answer: of the cluster, or about a topic."""

DELIVERY_MS = 3_600_000
"""How long a record waits for a broker that is away before it is given up. What bounds memory is MAX_PENDING."""

IN_ORDER: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "reconnect_backoff_max_ms": 1_000,
    "allow_auto_create_topics": False,  # it would get the broker's default shape
}
"""How records are written: those of a partition in order, each on all replicas in sync, perhaps twice.

A record that comes twice in a row changes nothing: events carry ids, all else says what holds from now on. (A broker
that deals with a request half a minute after it was given up, and sent again, may put the first of them behind newer
records; for items and changes of users the last one counts.) kafka-python's idempotent producer writes each once, and
in 3.0.12 sends nothing ever again once a batch that it had sent has expired, and gives nothing but errors once a broker
has found one record too large. Its own pause between attempts to connect grows to half a minute."""

MAX_PENDING = 50_000
"""Records on their way. kafka-python 3 has no bound of its own: it fills memory while a broker is away."""

ErrorHandler = Callable[[DeliveryError], None]


class Delivery:
    """What becomes of one record that was handed to Kafka."""

    __slots__ = ("_future", "_where")

    def __init__(self, future: Any, where: str) -> None:  # noqa: ANN401 - kafka-python has no types
        self._future = future
        self._where = where

    def position(self, timeout_s: float = 10.0) -> Position:
        """Waits until Kafka has the record and returns where it lies.

        Raises:
            DeliveryError: the record is lost.
            BrokerUnavailable: no answer within `timeout_s`; the record may still arrive.
        """
        try:
            metadata = self._future.get(timeout_s)
        except KafkaError as error:
            if self._future.is_done:
                raise DeliveryError(f"{self._where} did not take the record: {error}") from None
            raise BrokerUnavailable(f"{self._where} has not confirmed the record after {timeout_s:g} s") from None
        return Position(metadata.partition, metadata.offset)

    def token(self, timeout_s: float = 10.0) -> str:
        """Waits like `position` and returns the token for `Client.recommend(after=...)`."""
        return to_token(self.position(timeout_s))


class Producer:
    """A KafkaProducer that keeps count of what it lost.

    Attributes:
        lost: records that Kafka did not take, so far.
    """

    def __init__(self, settings: KafkaSettings, linger_ms: int, on_error: ErrorHandler | None) -> None:
        self.lost = 0
        self._where = f"Kafka at {settings.bootstrap_servers}"
        self._options = settings.kafka_options()
        self._on_error = on_error
        self._reported = 0
        self._first: DeliveryError | None = None
        self._counting = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_PENDING)
        self._closed = False
        self._tracer = tracer_of(settings, "freshet-emitter")
        try:
            self._kafka = KafkaProducer(
                **self._options,
                **IN_ORDER,
                linger_ms=linger_ms,
                batch_size=BATCH_BYTES,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=BLOCK_MS,
                bootstrap_timeout_ms=BLOCK_MS,
            )
        except KafkaError as error:
            raise self._unavailable(error) from None

    def send(self, topic: str, key: str, value: bytes | None) -> Delivery:
        """Hands a record over; waits only while `MAX_PENDING` records are on their way.

        Raises:
            BrokerUnavailable, TopicError, DeliveryError: the record was not taken over.
        """
        if not self._room.acquire(timeout=BLOCK_MS / 1_000):
            raise BrokerUnavailable(f"{self._where}: {MAX_PENDING:,} records wait for it; is it running?")
        span = self._tracer.start(f"send {topic}", "producer", None, topic, key) if self._tracer else None
        headers = headers_of([span]) if span else None
        try:
            future = self._kafka.send(topic, key=key.encode(), value=value, headers=headers)
        except BaseException as error:
            self._room.release()
            if span:
                span.end(str(error))
            raise (self._refusal(topic, error) if isinstance(error, KafkaError) else error) from None
        future.add_callback(self._taken)
        future.add_errback(partial(self._lost, topic, key))
        if span:
            future.add_both(partial(_ended, span))
        return Delivery(future, self._where)

    def flush(self, timeout_s: float) -> None:
        """Waits until every record so far is taken or lost.

        Raises:
            DeliveryError: records were lost since the last time that this was raised.
            BrokerUnavailable: nothing was confirmed for `timeout_s`.
        """
        try:
            self._kafka.flush(timeout_s)
        except KafkaTimeoutError as error:
            raise self._unavailable(error) from None
        self._raise_losses()

    def close(self, timeout_s: float) -> None:
        """Waits like `flush`, gives up what is not confirmed by then, and ends.

        Raises:
            DeliveryError: records were lost since the last time that this was raised.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._kafka.close(timeout_s)
        except KafkaTimeoutError:
            self._abandon()
        except BaseException:
            self._abandon()
            raise
        finally:
            if self._tracer:
                self._tracer.close()
        self._raise_losses()

    def _abandon(self) -> None:
        # kafka-python 3.0.12 leaves `close` with its thread running if a record is still unconfirmed, and
        # has no public way to end it. After this every such record has failed, so it is counted as lost.
        sender = self._kafka._sender  # noqa: SLF001
        sender.force_close()
        sender.wakeup()
        sender.join(5.0)
        self._kafka.close(1.0)

    def _taken(self, _: object) -> None:
        self._room.release()

    def _lost(self, topic: str, key: str, error: BaseException) -> None:
        failure = DeliveryError(f"{self._where} did not take the record of {key!r} for {topic}: {error}")
        with self._counting:
            self.lost += 1
            self._first = self._first or failure
        self._room.release()
        if self._on_error is not None:
            self._on_error(failure)

    def _raise_losses(self) -> None:
        with self._counting:
            new, self._reported = self.lost - self._reported, self.lost
            first, self._first = self._first, None
        if new:
            raise DeliveryError(f"{new:,} records were lost. The first: {first}")

    def _refusal(self, topic: str, error: KafkaError) -> FreshetError:
        if isinstance(error, IllegalStateError):
            return DeliveryError("this Emitter is closed; make another one")
        if not isinstance(error, KafkaTimeoutError):
            return DeliveryError(f"{self._where}, topic {topic}: {error}")
        return self._missing(topic) or self._unavailable(error)

    def _missing(self, topic: str) -> TopicError | None:
        """Tells a missing topic from a missing broker; a producer hears of neither."""
        try:
            admin = KafkaAdminClient(**self._options, bootstrap_timeout_ms=2_000)
            try:
                code = admin.describe_topics([topic])[0]["error_code"]
            finally:
                admin.close()
        except KafkaError:
            return None
        if code != UnknownTopicOrPartitionError.errno:
            return None
        return TopicError(f"{self._where} has no topic {topic}; run: freshet topics create")

    def _unavailable(self, error: KafkaError) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"{self._where} does not answer ({error}). Check FRESHET_BOOTSTRAP_SERVERS, and that it runs; "
            "`freshet broker` starts one to try things with"
        )


def _ended(span: Span, outcome: object) -> None:
    span.end(str(outcome) if isinstance(outcome, BaseException) else None)

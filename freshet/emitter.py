"""The Emitter: sends interactions, items and user changes to Kafka, and hides no loss."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from domain.clock import system_clock
from domain.errors import DeliveryError, MalformedEvent
from domain.interactions import Interaction, convert_interaction
from domain.items import Item, convert_item
from domain.records import checked_id
from domain.settings import KafkaSettings, load_settings
from domain.topics import INTERACTIONS, ITEMS, USERS
from domain.users import UserChange, convert_user_change

if TYPE_CHECKING:
    from freshet.producer import Delivery, ErrorHandler

Fields = Mapping[str, object]

AFTER_ERROR_S = 3.0
"""How long a `with` block that ends in an error, such as Ctrl-C, waits for what is on its way."""


class Emitter:
    """Sends to Kafka in the background; thread-safe; a context manager.

    Example::

        with Emitter() as emitter:
            emitter.emit({"event_id": "e1", "type": "click", "user_id": "u1", "item_id": "i1",
                          "event_time": "2026-11-22T10:00:00Z"})

    Every record is checked before it is sent, be it a struct or a dict. A record that Kafka did not take is
    counted in `lost`, handed to `on_error`, and raised by the next `flush` or the end of the `with` block.
    """

    def __init__(
        self,
        settings: KafkaSettings | None = None,
        *,
        linger_ms: int = 5,
        on_error: "ErrorHandler | None" = None,
    ) -> None:
        """Connects to Kafka.

        Args:
            settings: how to reach it; read from FRESHET_* variables if not given.
            linger_ms: how long a record may wait for company; more gives larger batches.
            on_error: is called with each loss, in the sending thread; keep it short.

        Raises:
            ConfigError: a setting is wrong, or FRESHET_TRACES is set and OpenTelemetry not installed.
            BrokerUnavailable: no broker answers.
        """
        from freshet.producer import Producer  # noqa: PLC0415 - loads kafka-python: 0.2 s, for emitters only

        settings = settings or load_settings(KafkaSettings)
        self._types = settings.all_interaction_types()
        self._topics = {name: settings.topic(name) for name in (INTERACTIONS, ITEMS, USERS)}
        self._producer = Producer(settings, linger_ms, on_error)

    @property
    def lost(self) -> int:
        """How many records Kafka did not take so far."""
        return self._producer.lost

    def emit(self, interaction: Interaction | Fields) -> "Delivery":
        """Sends an interaction and returns at once; `.token()` of the answer waits for its position.

        Raises:
            EventError: a field is wrong; nothing was sent.
            BrokerUnavailable, TopicError, DeliveryError: Kafka cannot take it.
        """
        checked = convert_interaction(interaction, system_clock(), self._types)
        return self._send(INTERACTIONS, checked.user_id, checked)

    def emit_item(self, item: Item | Fields) -> "Delivery":
        """Adds an item to the catalogue or replaces it. Raises what `emit` raises."""
        checked = convert_item(item)
        return self._send(ITEMS, checked.item_id, checked)

    def delete_item(self, item_id: str) -> "Delivery":
        """Takes an item out of the catalogue. Raises what `emit` raises."""
        try:
            return self._send(ITEMS, checked_id("item_id", item_id), None)
        except ValueError as error:
            raise MalformedEvent(str(error)) from None

    def change_user(self, change: UserChange | Fields) -> "Delivery":
        """Erases, merges or opts out a user. Raises what `emit` raises."""
        checked = convert_user_change(change)
        return self._send(USERS, checked.user_id, checked)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Waits until Kafka has every record so far.

        Raises:
            DeliveryError: records were lost since the last time that this was raised.
            BrokerUnavailable: nothing was confirmed for `timeout_s`.
        """
        self._producer.flush(timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Waits for what is on its way, at most `timeout_s`, and disconnects. Closing twice does nothing.

        Raises:
            DeliveryError: records were lost since the last time that this was raised.
        """
        self._producer.close(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        try:
            self.close(30.0 if error is None else AFTER_ERROR_S)
        except DeliveryError as lost:
            if error is None:
                raise
            error.add_note(f"Besides: {lost}")  # the program's own error goes first

    def _send(self, topic: str, key: str, record: msgspec.Struct | None) -> "Delivery":
        value = None if record is None else msgspec.json.encode(record)
        return self._producer.send(self._topics[topic], key, value)

"""Short ways to say what a test is about: events, items, records, replicas."""

from collections.abc import Mapping, Sequence

import msgspec

from domain.codecs import pack
from domain.interactions import INTERACTION_TYPES, Interaction
from domain.items import Item
from domain.log_reader import LogRecord
from domain.profile import Touch
from domain.settings import ServingSettings
from embeddings.encoder import TextEncoder
from embeddings.item_embedding import from_vector
from learning.signals_record import pack_share
from serving.replica import Replica, build_replica
from stream.partition_state import PartitionState
from stream.profile_updates import Outcome, Rules, apply_interactions

START_MS = 1_700_000_000_000
RULES = Rules(INTERACTION_TYPES, 200)


def touch(second: int, item: str = "i", event_id: str | None = None, offset: int = 0, type: str = "click") -> Touch:
    return Touch(START_MS + second * 1000, event_id or f"e{second}", item, type, None, offset)


def interaction(user: str, item: str, second: int = 0, type: str = "click", event_id: str = "", **more) -> Interaction:
    return Interaction(
        event_id=event_id or f"{user}-{item}-{second}",
        type=type,
        user_id=user,
        item_id=item,
        event_time=START_MS + second * 1000,
        **more,
    )


def log_of(interactions: Sequence[Interaction], partition: int = 0, start: int = 0) -> list[LogRecord]:
    """The interactions as one partition's log, offsets from `start`."""
    return [
        LogRecord("interactions", partition, start + at, one.time_ms, one.user_id.encode(), msgspec.json.encode(one))
        for at, one in enumerate(interactions)
    ]


class Deployment:
    """The whole event path without Kafka: the worker's functions feed a replica's read model."""

    def __init__(self, encoder: TextEncoder, **settings: object) -> None:
        self.encoder = encoder
        self.settings = ServingSettings(search=True, **settings)
        self.now_ms = START_MS + 86_400_000
        self.replica: Replica = build_replica(self.settings, encoder, clock=lambda: self.now_ms)
        self.state = PartitionState()
        self.offset = 0

    def put_items(self, *items: Item) -> None:
        model = self.replica.model
        vectors = self.encoder.encode([item.text() for item in items])
        for item, vector in zip(items, vectors, strict=True):
            raw = msgspec.json.encode(item)
            embedding = pack(from_vector(self.encoder.version, item.text(), vector))
            model.apply([LogRecord("items", 0, 0, self.now_ms, item.item_id.encode(), raw)])
            model.apply([LogRecord("item-embeddings", 0, 0, self.now_ms, item.item_id.encode(), embedding)])

    def delete_item(self, item_id: str) -> None:
        self.replica.model.apply([LogRecord("items", 0, 0, self.now_ms, item_id.encode(), None)])

    def learn(self, *interactions: Interaction) -> Outcome:
        records = log_of(interactions, start=self.offset)
        self.offset += len(records)
        outcome = apply_interactions(self.state, records, RULES)
        self.replica.model.apply(derived_records(outcome))
        return outcome


def derived_records(outcome: Outcome, topics: Mapping[str, str] | None = None) -> list[LogRecord]:
    """What the worker would write for an outcome, signals first."""
    signals = [
        LogRecord("item-signals", 0, at, 0, item.encode(), pack_share(one))
        for at, (item, one) in enumerate(outcome.signals.items())
    ]
    profiles = [
        LogRecord("user-profiles", 0, at, 0, user.encode(), raw)
        for at, (user, raw) in enumerate(outcome.profiles.items())
    ]
    return signals + profiles

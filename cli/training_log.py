"""What a model is trained on: the interactions in the order of their arrival, and the catalogue with its text vectors.

From Kafka or from files. What a user had erased, and all of one who opted out, is left out; so are the events
of a guest who logged in, which come again under the login.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cli.judging.log import EventLog, read_log
from cli.progress import progress
from cli.refusals import Refusals
from cli.topic_records import records_of
from domain.codecs import unpack
from domain.errors import ConfigError, EventError, MalformedEvent
from domain.interactions import Interaction, decode_interaction
from domain.items import Item, decode_item
from domain.profile import Profile, touch_of
from domain.settings import KafkaSettings
from domain.topics import INTERACTIONS, ITEM_EMBEDDINGS, ITEMS, USER_PROFILES
from embeddings.item_embedding import ItemEmbedding, to_vector
from embeddings.transformer import TransformerEncoder
from learning.signals import pulls

Sequences = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass
class TrainingLog(EventLog):
    """A log with what training needs besides.

    Attributes:
        arrived_ms: (N,) int64: since when each item counts as known, no later than its first interaction.
        vectors: (N, D) float32 text vectors in the order of the items; a zero row for an item without text.
        version: of the text encoder.
        source: where the events lay: a folder, or the offset after the last one by partition.
    """

    arrived_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    version: str = ""
    source: dict[str, Any] = field(default_factory=dict)

    def interaction(self, at: int) -> Interaction:
        """Returns one interaction; it was checked when it was read."""
        return msgspec.json.decode(self.raw[at], type=Interaction)

    def sequences(self) -> Sequences:
        """Returns each user's choices as (item rows, epoch ms), ascending in time; the same event id counts once."""
        row_of = {item.item_id: row for row, item in enumerate(self.items)}
        chosen: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        for at in range(len(self)):
            one = self.interaction(at)
            if one.item_id in row_of and pulls(touch_of(one, 0), self.types):
                chosen[one.user_id].setdefault(one.event_id, (one.time_ms, row_of[one.item_id]))
        found = []
        for events in chosen.values():
            ordered = sorted(events.values(), key=lambda event: event[0])
            found.append((np.array([row for _, row in ordered]), np.array([time for time, _ in ordered])))
        return found

    def told(self) -> str:
        """Says in a line what it is."""
        where = f"folder {self.source['folder']}" if "folder" in self.source else f"offsets {self.source['offsets']}"
        days = np.array([self.times_ms.min(), self.times_ms.max()]).astype("datetime64[ms]").astype("datetime64[D]")
        return f"{len(self):,} interactions on {len(self.items):,} items, {days[0]} to {days[1]}; {where}"


def from_folder(folder: Path, settings: KafkaSettings) -> TrainingLog:
    """Reads a folder as the backtest does and encodes the items' texts.

    Raises:
        ConfigError: a file is missing, or nothing in it can be used.
        ModelUnavailable: the text encoder.
    """
    log = read_log(folder, settings)
    vectors, version = _encoded(settings, log.items)
    since = np.full(len(log.items), log.times_ms[0], np.int64)
    types = settings.all_interaction_types()
    source = {"folder": folder.name}
    return TrainingLog(log.items, log.raw, log.times_ms, log.refused, types, since, vectors, version, source)


def from_kafka(settings: KafkaSettings) -> TrainingLog:
    """Reads `interactions`, merged over its partitions by the time of arrival, `items` and `item-embeddings`.

    Raises:
        ConfigError: there are no items or no interactions, or the encoder here is not that of the embeddings.
        BrokerUnavailable, TopicError: Kafka cannot be read.
    """
    items, arrived = _items(settings)
    types = settings.all_interaction_types()
    refused, offsets = Refusals(), dict[str, int]()
    raw, times = list[bytes](), list[int]()
    first: dict[str, int] = {}
    forgotten = _forgotten(settings)
    for record in in_order_of_arrival(progress(records_of(settings, INTERACTIONS), "reading interactions", "events")):
        partition = str(record.partition)
        offsets[partition] = max(offsets.get(partition, 0), record.offset + 1)
        try:
            one = decode_interaction(record.value or b"", record.timestamp, types)
        except EventError as error:
            refused.add(record.offset, error)
            continue
        if (record.key or b"") == one.user_id.encode() and not is_forgotten(forgotten.get(one.user_id), one):
            raw.append(record.value)
            times.append(one.time_ms)
            first[one.item_id] = min(one.time_ms, first.get(one.item_id, one.time_ms))
    if not items or not raw:
        raise ConfigError(f"Kafka holds {len(items)} usable items and {len(raw)} interactions; training needs both")
    vectors, version = _vectors(settings, list(items.values()))
    since = np.array([min(arrived[one], first.get(one, arrived[one])) for one in items], np.int64)
    source = {"offsets": dict(sorted(offsets.items()))}
    known = list(items.values())
    return TrainingLog(known, raw, np.array(times, np.int64), refused, types, since, vectors, version, source)


def in_order_of_arrival(records: Any) -> list[Any]:  # noqa: ANN401 - Kafka's records have no types
    """Returns records merged by their timestamps; those of one partition keep their order, whatever these say."""
    latest: dict[tuple[str, int], int] = {}
    found = []
    for record in records:
        place = (record.topic, record.partition)
        latest[place] = max(record.timestamp, latest.get(place, 0))
        found.append((latest[place], *place, record.offset, record))
    return [record for *_, record in sorted(found, key=lambda one: one[:-1])]


def is_forgotten(profile: Profile | None, one: Interaction) -> bool:
    """Whether the user had this erased, opted out, or became another."""
    if profile is None:
        return False
    return profile.opted_out or profile.merged_into is not None or one.time_ms <= profile.forgotten_until


def _forgotten(settings: KafkaSettings) -> dict[str, Profile]:
    """Returns the profiles of the users of whom something is forgotten, without their interactions."""
    found: dict[str, Profile] = {}
    for record in progress(records_of(settings, USER_PROFILES), "reading who is forgotten", "profiles"):
        user_id = (record.key or b"").decode("utf-8", "replace")
        profile = None if record.value is None else _profile(record.value)
        if profile and (profile.opted_out or profile.merged_into is not None or profile.forgotten_until >= 0):
            found[user_id] = msgspec.structs.replace(profile, touches=())
        else:
            found.pop(user_id, None)
    return found


def _profile(raw: bytes) -> Profile | None:
    try:
        return unpack(raw, Profile)
    except MalformedEvent:
        return None


def _items(settings: KafkaSettings) -> tuple[dict[str, Item], dict[str, int]]:
    """Returns the items by id, and when the first record of each that is left came."""
    items: dict[str, Item] = {}
    arrived: dict[str, int] = {}
    for item_id, record in _latest(settings, ITEMS, arrived).items():
        try:
            items[item_id] = decode_item(record.value)
        except EventError:
            continue  # the workers put it into the dead letters
    return items, arrived


def _latest(settings: KafkaSettings, topic: str, arrived: dict[str, int] | None = None) -> dict[str, Any]:
    """Returns the newest record of each key that is not deleted; notes when the first one came."""
    latest: dict[str, Any] = {}
    for record in progress(records_of(settings, topic), f"reading {topic}", "records"):
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            latest.pop(key, None)
            continue
        latest[key] = record
        if arrived is not None:
            arrived.setdefault(key, record.timestamp)
    return latest


def _vectors(settings: KafkaSettings, items: list[Item]) -> tuple[NDArray[np.float32], str]:
    """Returns the items' vectors from `item-embeddings`, those that are not there yet encoded."""
    embeddings = dict(_embeddings(settings))
    versions = Counter(one.model_version for one in embeddings.values())
    if not versions:
        return _encoded(settings, items)
    version = versions.most_common(1)[0][0]
    known = {item_id: to_vector(one) for item_id, one in embeddings.items() if one.model_version == version}
    missing = [at for at, item in enumerate(items) if item.item_id not in known and item.text()]
    width = next((len(one) for one in known.values() if one is not None), 1)
    vectors = np.zeros((len(items), width), np.float32)
    for at, item in enumerate(items):
        vector = known.get(item.item_id)
        if vector is not None:
            vectors[at] = vector
    if missing:
        vectors[missing], ours = _encoded(settings, [items[at] for at in missing])
        if ours != version:
            raise ConfigError(f"FRESHET_EMBEDDING_MODEL: gives {ours} here, but `item-embeddings` holds {version}")
    return vectors, version


def _embeddings(settings: KafkaSettings) -> Iterator[tuple[str, ItemEmbedding]]:
    for item_id, record in _latest(settings, ITEM_EMBEDDINGS).items():
        try:
            yield item_id, unpack(record.value, ItemEmbedding)
        except MalformedEvent:
            continue


def _encoded(settings: KafkaSettings, items: list[Item]) -> tuple[NDArray[np.float32], str]:
    encoder = TransformerEncoder(settings.embedding_model, settings.torch_threads)
    texts = [item.text() for item in items]
    vectors = np.zeros((len(items), encoder.dimension), np.float32)
    written = [at for at, text in enumerate(texts) if text]
    for part in progress([written[at : at + 256] for at in range(0, len(written), 256)], "encoding texts", "batches"):
        vectors[part] = encoder.encode([texts[at] for at in part])
    return vectors, encoder.version

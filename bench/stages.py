"""Where a click's time went, read from the log: what was written for it, and when.

Kafka's records carry the moment at which their producer made them, in milliseconds. A worker makes the record of
the item's signals when it begins to write, and that of the user's profile when Kafka has confirmed the signals.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.report import Figure, percentile
from domain.codecs import unpack
from domain.log_reader import Record, read_to_end, reader_options
from domain.positions import Position
from domain.profile import Profile
from domain.settings import KafkaSettings
from domain.topics import ITEM_SIGNALS, USER_PROFILES
from learning.signals_record import WrittenShare

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Upper bounds of the printed histogram."""


@dataclass(frozen=True)
class Click:
    """One click, where its record lies, and what it took, in milliseconds.

    Attributes:
        produce_ms: until Kafka had confirmed it.
        answer_ms: from there until the slate that reflects it was here.
        known_ms: when Kafka had confirmed it, epoch milliseconds.
    """

    user: str
    item: str
    position: Position
    with_token: bool
    produce_ms: float
    answer_ms: float
    known_ms: int

    @property
    def took_ms(self) -> float:
        """All of it."""
        return self.produce_ms + self.answer_ms


def stages(settings: KafkaSettings, clicks: Sequence[Click], suffix: str) -> list[Figure]:
    """Prints a histogram of each stage and returns their medians and 99th percentiles.

    Stages: `produce` until Kafka has the click, and `answer` from there until the slate that reflects it is here. And
    what a worker does meanwhile, for which no slate waits: `wait_and_update` from Kafka's confirmation until it begins
    to write what the items learn, `write_signals` until it begins to write the profile.
    """
    made = asyncio.run(_made(settings, clicks))
    found = {
        "produce": [one.produce_ms for one in clicks],
        "answer": [one.answer_ms for one in clicks],
        "wait_and_update": [signals - one.known_ms for one, (signals, _) in made],
        "write_signals": [float(profile - signals) for _, (signals, profile) in made],
    }
    print(_histogram(found))
    return [
        Figure(f"stage_{name}_{which}{suffix}", percentile(values, share), "ms")
        for name, values in found.items()
        for which, share in (("p50", 0.5), ("p99", 0.99))
    ]


async def _made(settings: KafkaSettings, clicks: Sequence[Click]) -> list[tuple[Click, tuple[int, int]]]:
    """Returns with each click when the first signals and the first profile were made that reflect it."""
    wanted = {one.item for one in clicks} | {one.user for one in clicks}
    found: dict[tuple[str, int, str], list[tuple[int, int]]] = {}
    kinds = {settings.topic(ITEM_SIGNALS): WrittenShare, settings.topic(USER_PROFILES): Profile}

    def note(records: Sequence[Record]) -> None:
        for one in records:
            key = (one.key or b"").decode()
            if key in wanted and one.value is not None:
                position = unpack(one.value, kinds[one.topic]).position
                found.setdefault((one.topic, one.partition, key), []).append((position, one.timestamp))

    consumer = AIOKafkaConsumer(**reader_options(settings))
    async with consumer:
        places = [TopicPartition(topic, one) for topic in kinds for one in range(settings.partitions)]
        consumer.assign(places)
        await read_to_end(consumer, places, note)
    signals, profiles = kinds

    def first(topic: str, key: str, position: Position) -> int:
        return next(at for reached, at in found[topic, position.partition, key] if reached >= position.offset)

    return [(one, (first(signals, one.item, one.position), first(profiles, one.user, one.position))) for one in clicks]


def _histogram(found: dict[str, list[float]]) -> str:
    heads = [*(f"<={bound}" for bound in BOUNDS_MS), "more"]
    lines = ["clicks by milliseconds".ljust(28) + "".join(head.rjust(7) for head in heads)]
    for name, values in found.items():
        rest = sorted(values)
        counts = []
        for bound in BOUNDS_MS:
            counts.append(sum(one <= bound for one in rest) - sum(counts))
        counts.append(len(rest) - sum(counts))
        lines.append(name.ljust(28) + "".join(str(count).rjust(7) for count in counts))
    return "\n".join(lines)

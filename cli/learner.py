"""The ranker learning event by event, beside a copy of what workers and replicas know. No Kafka in here."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from cli.judging.exposed import Exposed
from cli.judging.judge import Judge
from cli.judging.log import EventLog
from cli.judging.world import World
from cli.train_ranker import rank_by
from cli.training_log import is_forgotten
from domain.codecs import pack, unpack
from domain.errors import EventError, MalformedEvent
from domain.exposures import Exposure
from domain.interactions import Interaction, decode_interaction
from domain.log_reader import Record
from domain.models import Pointer
from domain.profile import EMPTY, Insertion, Profile, insert, touch_of
from domain.records import decode
from learning.metrics import ndcg
from stream.partition_state import PartitionState
from stream.profile_updates import MERGED_HEADER
from stream.user_changes import apply_user_changes


class Learner:
    """A world, and its ranker that learns.

    Attributes:
        world: what is known. An erased user's events are not learned from again, but stay in this memory
            until the process ends.
        learned: choices that the ranker has learned from since `published` was called.
        shown: those of them that were learned from exposures.
        refused: records that could not be read; the workers put interactions into the dead letters.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.learned = self.shown = self.refused = 0
        self._judge = Judge(world, EventLog([], [], np.zeros(0, np.int64)), None)
        self._exposed = Exposed(world)
        self._people = PartitionState()
        self._ranks: list[int] = []
        self._echo: str | None = None

    def restore(self, records: Sequence[Record]) -> None:
        """Takes interactions into the state, as one batch, without learning from them."""
        usable = [(one, record) for record in records if (one := self._read(record))]
        self.world.learn([record.value or b"" for _, record in usable], [one for one, _ in usable])

    def interact(self, record: Record) -> None:
        """Learns from an interaction, if it is a choice that was not learned from before; then it counts."""
        one = self._read(record)
        if one is None:
            return
        if not any(name == MERGED_HEADER for name, _ in record.headers) and self._is_new(one):
            self._choice(one)
        self.world.learn([record.value or b""], [one])

    def expose(self, record: Record) -> None:
        """Remembers what was shown."""
        try:
            exposure = decode(record.value or b"", Exposure, len(record.value or b""))
        except EventError:
            self.refused += 1
            return
        self._exposed.note(exposure)

    def describe(self, records: Sequence[Record]) -> None:
        """Takes records of `items`, `item-embeddings` and `models`. Another active ranker takes this one's place."""
        self.world.model.apply([one for one in records if not self._is_echo(one)])

    def forget(self, records: Sequence[Record]) -> None:
        """Takes records of `users`: from those who are erased or opted out nothing more is learned."""
        apply_user_changes(self._people, records)

    def forgotten(self, user_id: str, raw: bytes | None) -> None:
        """Takes a record of `user-profiles`, for what it says of what is forgotten."""
        try:
            profile = EMPTY if raw is None else unpack(raw, Profile)
        except MalformedEvent:
            return
        if profile.opted_out or profile.merged_into is not None or profile.forgotten_until >= 0:
            self._people.profiles[user_id] = pack(msgspec.structs.replace(profile, touches=()))
        else:
            self._people.profiles.pop(user_id, None)

    def metrics(self) -> dict[str, float]:
        """What was learned since the last publication, and how well each choice was foretold before it was learned."""
        told: dict[str, float] = {"learned": self.learned, "shown": self.shown, "events": len(self._ranks)}
        return told | ({"ndcg@10": float(ndcg(np.array(self._ranks), 10).mean())} if self._ranks else {})

    def published(self, version: str) -> None:
        """Notes that the weights went out as this version: its records, when they come back, change nothing."""
        self.learned = self.shown = 0
        self._ranks = []
        self._echo = version

    def _choice(self, one: Interaction) -> None:
        target = self._judge.target(one)
        if target is None:
            return
        if self._exposed.learn(one, target):
            self.shown += 1
        else:
            asked = self._judge.ask(one)
            if asked is None:
                return
            self._ranks.append(rank_by(self.world.model.ranker(), *asked))
            self._judge.choose(*asked)
        self.learned += 1

    def _is_new(self, one: Interaction) -> bool:
        """Whether the user's profile would take it in: no duplicate, and not older than all it remembers."""
        profile = self.world.model.profiles.get(one.user_id) or EMPTY
        return insert(profile, touch_of(one, self.world.offset), self.world.settings.profile_size)[1] is Insertion.NEW

    def _read(self, record: Record) -> Interaction | None:
        try:
            one = decode_interaction(record.value or b"", record.timestamp, self.world.model.types)
        except EventError:
            self.refused += 1
            return None
        if record.key != one.user_id.encode() or is_forgotten(self._people.profile(one.user_id), one):
            return None
        return one

    def _is_echo(self, record: Any) -> bool:  # noqa: ANN401 - Kafka's records have no types
        key = (record.key or b"").decode("utf-8", "replace")
        if self._echo is None or key.partition("/")[0] != "ranker":
            return False
        if key != "ranker":
            return key.split("/")[1] == self._echo
        try:
            pointer = None if record.value is None else unpack(record.value, Pointer)
        except MalformedEvent:
            return False
        if pointer is None or pointer.version != self._echo:
            return False
        self._echo = None
        return True

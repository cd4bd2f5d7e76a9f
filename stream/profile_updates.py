"""What a batch of interactions does to a partition's state. Pure: no Kafka, no clock, no HTTP.

The stream worker calls this, and so does the backtest: there is no second implementation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from sys import intern

import msgspec

from domain.errors import EventError, without_frames
from domain.interactions import Interaction, InteractionType, interaction_of
from domain.log_reader import Headers, Record
from domain.profile import Insertion
from learning.signals import ItemSignals, Lesson, learn, pulling_types
from stream.partition_state import PartitionState
from stream.profile_draft import Draft, Pulling

MERGED_HEADER = "freshet-merged-from"
"""On a record that was sent again under a login's key: the guest whose signals have counted already.

One for each guest that it came by, so that users merged in a circle do not send it on for ever.
"""

Lessons = dict[str, list[Lesson]]
"""By item, in the order of the log."""

_NEW = Insertion.NEW  # an enumeration looks its members up each time


@dataclass(frozen=True)
class Rules:
    """What the outcome depends on besides the log."""

    types: Mapping[str, InteractionType]
    profile_size: int

    @cached_property
    def pulling(self) -> Pulling:
        """The types that speak for an item."""
        return pulling_types(self.types)

    @cached_property
    def traceless(self) -> frozenset[str]:
        """The types that a profile does not remember."""
        return frozenset(name for name, kind in self.types.items() if kind.weight == 0)


@dataclass
class Outcome:
    """What one batch led to.

    Attributes:
        profiles: users whose profile is new, encoded.
        signals: items whose share is new.
        refused: records that could not be used, and why.
        forwarded: events of merged guests, as they go on under the login's id.
        counted: interactions by type and what became of them.
    """

    profiles: dict[str, bytes] = field(default_factory=dict)
    signals: dict[str, ItemSignals] = field(default_factory=dict)
    refused: list[tuple[Record, EventError]] = field(default_factory=list)
    forwarded: list[tuple[Record, Interaction]] = field(default_factory=list)
    counted: dict[tuple[str, str], int] = field(default_factory=dict)


def apply_interactions(state: PartitionState, records: Sequence[Record], rules: Rules) -> Outcome:
    """Applies one partition's records, in offset order, to its state.

    Args:
        state: the partition's state; it is changed in place.
        records: the batch. Their timestamps are when they reached Kafka and stand in for the present.
        rules: the settings that matter.

    Returns:
        What has to be written: each touched user and item once, however many events they had.
    """
    outcome = Outcome()
    drafts: dict[str, Draft] = {}
    lessons: Lessons = {}
    new: list[str] = []  # their types: nearly all are new
    others: list[tuple[str, str]] = []
    for record in records:
        try:
            interaction = interaction_of(record.key, record.value, record.timestamp, rules.types)
        except EventError as error:
            outcome.refused.append((record, without_frames(error)))
            continue
        user_id, offset = interaction.user_id, record.offset
        draft = drafts.get(user_id) or state.draft(user_id, rules.pulling)
        if offset <= draft.position:  # redelivered after all its effects were durable
            continue
        drafts[user_id] = draft
        became = _apply(draft, record, interaction, rules, lessons, outcome)
        if became is _NEW:
            new.append(interaction.type)
        else:
            others.append((interaction.type, became))
        draft.position = offset
        if record.timestamp > draft.arrived_ms:  # noqa: PLR1730 - a call takes longer, and this is for each event
            draft.arrived_ms = record.timestamp
    outcome.counted = {(kind, _NEW): count for kind, count in Counter(new).items()} | Counter(others)
    outcome.signals = {item_id: _learned(state, item_id, some) for item_id, some in lessons.items()}
    outcome.profiles = {user_id: state.keep(user_id, draft) for user_id, draft in drafts.items()}
    return outcome


def _apply(  # noqa: PLR0913, PLR0917  (the batch's working set)
    draft: Draft, record: Record, interaction: Interaction, rules: Rules, lessons: Lessons, outcome: Outcome
) -> str:
    """Returns what became of an interaction."""
    if draft.merged_into is not None and not _came_by(record, draft.merged_into):
        outcome.forwarded.append((record, msgspec.structs.replace(interaction, user_id=draft.merged_into)))
        return "forwarded"
    kind = interaction.type
    if kind in rules.traceless:
        return "noted"
    offset = record.offset
    became, history, led = draft.insert(interaction, offset, rules.profile_size)
    if became is _NEW and kind in rules.pulling and not (record.headers and _merged(record)):
        time: int = interaction.event_time  # type: ignore[assignment]  # a whole number since it was decoded
        lesson = offset, time, history, led
        item_id = interaction.item_id
        if item_id in lessons:
            lessons[item_id].append(lesson)
        else:
            lessons[intern(item_id)] = [lesson]
    return became


def _learned(state: PartitionState, item_id: str, lessons: Sequence[Lesson]) -> ItemSignals:
    """Adds to an item's share all that one batch says of it, at once: its predecessors then lie at hand."""
    signals = state.signals.get(item_id)
    if signals is None:
        signals = state.signals[item_id] = ItemSignals()
    learn(signals, lessons)
    return signals


def sent_on(headers: Headers, guest: str) -> list[tuple[str, bytes]]:
    """Returns the headers of a record that is sent again from a guest to the login; `headers` are what it had."""
    return [*[one for one in headers if one[0] == MERGED_HEADER], (MERGED_HEADER, guest.encode())]


def _came_by(record: Record, user_id: str) -> bool:
    return (MERGED_HEADER, user_id.encode()) in record.headers


def _merged(record: Record) -> bool:
    return any(name == MERGED_HEADER for name, _ in record.headers)

"""Everything a replica knows, built from the compacted topics record by record. No Kafka in here.

The follower feeds it from Kafka, the backtest from files; the request path reads it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from typing import Protocol

import msgspec

from domain.clock import Clock, system_clock
from domain.codecs import unpack
from domain.errors import EventError
from domain.items import decode_item
from domain.log_reader import Record
from domain.profile import Profile
from domain.settings import ServingSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, MODELS, USER_PROFILES
from embeddings.ann_index import AnnIndex
from embeddings.faiss_index import FaissIndex
from embeddings.item_embedding import ItemEmbedding
from learning.ranker import Ranker
from learning.sequence.inference import SequenceEncoder
from learning.signals import pulling_types
from serving import metrics
from serving.behaviour import Behaviour
from serving.catalogue import Catalogue
from serving.columns import Column, Columns
from serving.many import Many
from serving.models import Loader, Models
from serving.new_items import NewItems
from serving.pending import Pending
from serving.profile_waiters import ProfileWaiters
from serving.profiles import MemoryProfiles, ProfileStore
from serving.refused import refused
from serving.sequence_space import SequenceSpace
from serving.side_effects.click_through import ClickThrough
from tracing import Span, Tracer, parents_of

FOLLOWED = (ITEMS, ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES, MODELS)
"""The topics that a replica follows."""


class Facts(msgspec.Struct):
    """What a snapshot says beside its rows; see `Catalogue` and `ReadModel`."""

    model_version: str | None
    other_versions: int
    learned_to: dict[int, int]


class ProfileWatcher(Protocol):
    """Who wants to know of the profiles of some users, before and after each change."""

    def follows(self, user_id: str) -> bool:
        """Whether it wants to know of this user; asked for every profile that is applied, so it must be cheap."""

    def applied(self, user_id: str, partition: int, old: Profile | None, new: Profile | None) -> None:
        """Is told of a change, with the partition that the user is in; None where there is no profile."""


class ReadModel:
    """Items, embeddings, signals, profiles and models.

    Attributes:
        catalogue, behaviour, new_items, models: what the request path reads, and `profile`.
        profiles: as workers wrote them.
        pending: what users did since.
        waiters: requests that wait for a profile.
        watcher: is told of changed profiles once the replica is live; None for nobody.
        tracer: goes on with the traces that records come with; None for nobody.
        click_through: counts what is chosen of what was shown; told of profiles as well.
        settings: the replica's settings.
        types, pulling: the interaction types by name, and the names of those that choose their item.
    """

    def __init__(
        self,
        settings: ServingSettings,
        index: AnnIndex,
        model_version: str | None = None,
        profiles: ProfileStore | None = None,
        clock: Clock = system_clock,
        features: Sequence[str] = (),
        loaders: Mapping[str, Loader] | None = None,
    ) -> None:
        self.settings = settings
        self.types = settings.all_interaction_types()
        self.pulling = pulling_types(self.types)
        self._own_version = model_version
        self._many: Many | None = None
        self._take(Catalogue(index, model_version))
        self.profiles = profiles or MemoryProfiles()
        self._features = tuple(features)
        self._ranker = Ranker(features)
        own: dict[str, Loader] = {"ranker": self._load_ranker, "sequence": self._load_sequence}
        self.models = Models(own | dict(loaders or {}), keeps_raw=bool(settings.snapshot_path))
        self.pending = Pending(self.profiles, self.types, settings.profile_size, self._worked_to)
        self.waiters = ProfileWaiters(self.pending)
        self.live = False  # while it restores, ages say nothing about freshness
        self.watcher: ProfileWatcher | None = None
        self.click_through = ClickThrough(self.types)
        self.tracer: Tracer | None = None
        self._clock = clock
        self._appliers: dict[str, Callable[[str, Record], None]] = {
            settings.topic(ITEMS): self._apply_item,
            settings.topic(ITEM_EMBEDDINGS): self._apply_embedding,
            settings.topic(ITEM_SIGNALS): self._apply_signals,
            settings.topic(USER_PROFILES): self._apply_profile,
            settings.topic(MODELS): self._apply_model,
        }

    def profile(self, user_id: str) -> Profile | None:
        """Returns a user's profile with all that was read of what they did, None for a user who is not known."""
        return self.pending.profile(user_id)

    @property
    def learned_to(self) -> dict[int, int]:
        """See `Behaviour.learned_to`."""
        return self.behaviour.learned_to

    def known_to(self, partition: int) -> int:
        """Returns the highest offset of a partition of `interactions` that an answer may reflect, -1 for none."""
        return max(self._worked_to(partition), self.pending.next_offset(partition) - 1)

    def _worked_to(self, partition: int) -> int:
        return self.learned_to.get(partition, -1)

    def begin_loading(self) -> None:
        """What is applied from now on is only put down, as far as that is quicker, until `settle`."""
        self.catalogue.begin_loading()
        self.behaviour.begin_loading()
        self._many = Many(self.settings, self.catalogue, self.behaviour)

    def settle(self) -> None:
        """Makes what was put down since `begin_loading` part of what is held; nothing may be applied meanwhile."""
        self._many = None
        self.behaviour.settle()
        self.catalogue.settle()

    def apply(self, records: Sequence[Record]) -> None:
        """Applies records of the followed topics, in order. One that is not ours is counted and passed over."""
        tracer = self.tracer if self.live else None  # what is read again at a start happened long ago
        with self.catalogue.together(), self.behaviour.together():
            for record in self._many.left_of(records) if self._many else records:
                if tracer is None or not record.headers:
                    self._applied(record)
                    continue
                spans = _spans(tracer, record)
                fault = self._applied(record)
                for span in spans:
                    span.end(fault)

    def apply_ahead(self, records: Sequence[Record]) -> None:
        """Takes records of `interactions`, in order: profiles reflect them from now on, before a worker has written."""
        now = self._clock()
        for record in records:
            spans = _spans(self.tracer, record) if self.tracer and self.live and record.headers else ()
            user_id = self.pending.take(record)
            if user_id is None:
                continue
            self.waiters.applied(user_id)
            for span in spans:
                span.end()
            if self.live:
                metrics.freshness.observe(max(0, now - record.timestamp) / 1000)

    def _applied(self, record: Record) -> str | None:
        """Applies one record; returns what is wrong with it."""
        try:
            self._appliers[record.topic]((record.key or b"").decode(), record)
        except (EventError, UnicodeDecodeError) as error:
            refused(record, error)
            return str(error)
        return None

    def _apply_item(self, key: str, record: Record) -> None:
        item = None if record.value is None else decode_item(record.value)
        if item is None or item.item_id == key:
            self.catalogue.put_item(key, item, record.timestamp)

    def _apply_embedding(self, key: str, record: Record) -> None:
        self.catalogue.put_embedding(key, None if record.value is None else unpack(record.value, ItemEmbedding))

    def _apply_signals(self, key: str, record: Record) -> None:
        if not self.behaviour.put_down([key], [record]):
            self.behaviour.put(key, record)

    def _apply_profile(self, key: str, record: Record) -> None:
        watcher = self.watcher if self.live else None
        watched = watcher is not None and watcher.follows(key)
        old = self.profiles.get(key) if watched else None
        before = self.profiles.position(key) if self.live else -1
        profile = self.profiles.put(key, record.value)
        if watcher is not None and watched and (profile is not None or record.value is None):
            watcher.applied(key, record.partition, old, profile)
        if profile is not None:
            known = self.pending.settle(key, profile.position)
            self.waiters.applied(key)
            if self.live:
                self.click_through.applied(key, profile)
                now = self._clock()
                if profile.position > before:  # not for what a change of the user rewrote
                    took_s = max(0, now - profile.arrived_ms) / 1000
                    metrics.profile_delay.observe(took_s)
                    if not known:
                        metrics.freshness.observe(took_s)
                metrics.apply_delay.observe(max(0, now - record.timestamp) / 1000)

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs beside the index, step by step; nothing may be applied in between."""
        facts = Facts(self.catalogue.model_version, self.catalogue.other_versions, self.behaviour.learned_to)
        yield "facts", [msgspec.json.encode(facts)]
        for part in (self.catalogue, self.behaviour, self.profiles, self.models):
            yield from part.columns()

    async def restore(self, index: AnnIndex, columns: Columns) -> None:
        """Takes the place that `columns` was asked for. Requests are answered meanwhile, from less.

        Args:
            index: the vectors of that moment.
            columns: what `columns` gave.

        Raises:
            SnapshotCorrupt: something is missing; call `clear` then.
        """
        facts = msgspec.json.decode(columns.strings("facts")[0], type=Facts)
        catalogue = Catalogue(index, facts.model_version)
        catalogue.other_versions = facts.other_versions
        behaviour = Behaviour(catalogue)
        behaviour.learned_to = facts.learned_to
        await asyncio.to_thread(catalogue.restore, columns)
        await asyncio.to_thread(behaviour.restore, columns)
        self._take(catalogue, behaviour)
        await asyncio.to_thread(self.profiles.restore, columns)
        await asyncio.to_thread(self.models.restore, columns)

    def clear(self) -> None:
        """Forgets all, as before the first record."""
        self._take(Catalogue(self.catalogue.index.like(), self._own_version))
        self.profiles.restore(None)
        self.pending.clear()
        self.models.clear()
        self.live = False

    def _take(self, catalogue: Catalogue, behaviour: Behaviour | None = None) -> None:
        """Swaps all that is by row at once, so that no request sees rows of two catalogues."""
        self.catalogue, self.behaviour = catalogue, behaviour or Behaviour(catalogue)
        self.new_items = NewItems(catalogue, self.behaviour, self.settings.fresh_days)
        self._many = None

    def without(self, parts: Collection[str]) -> "ReadModel":
        """Returns a view that answers without some parts: it shares all that is held, and is to be read only.

        Args:
            parts: sources and feature families, as FRESHET_DISABLED names them, and `ranker` for what it has learned.
        """
        view, off = copy(self), {*parts} - {"ranker"}
        variant = ".".join([self.settings.variant, "without", *sorted({*parts})])
        disabled = sorted({*self.settings.disabled, *off})
        view.settings = self.settings.model_copy(update={"disabled": disabled, "variant": variant})
        if "ranker" in parts:
            view.models = self.models.without("ranker")
        return view

    def ranker(self) -> Ranker:
        """Returns the active ranker; before any was learned, one that knows its prior."""
        loaded = self.models.active("ranker")
        return loaded if isinstance(loaded, Ranker) else self._ranker

    def sequence_space(self) -> SequenceSpace | None:
        """Returns the catalogue as the active sequence model sees it, None while there is no model."""
        space = self.models.active("sequence")
        if not isinstance(space, SequenceSpace):
            return None
        space.keep_up()
        return space

    def _load_ranker(self, raw: bytes) -> Ranker:
        return Ranker.from_bytes(raw, self._features)

    def _load_sequence(self, raw: bytes) -> SequenceSpace:
        encoder = SequenceEncoder.from_bytes(raw)
        return SequenceSpace(encoder, self.catalogue, FaissIndex(encoder.width, self.settings.exact_index_below))

    def _apply_model(self, key: str, record: Record) -> None:
        self.models.put(key, record.value, self.live)


def _spans(tracer: Tracer, record: Record) -> list[Span]:
    key = (record.key or b"").decode("utf-8", "replace")
    name = f"apply {record.topic}"
    return [tracer.start(name, "consumer", one, record.topic, key) for one in parents_of(record.headers)]


def summary(model: ReadModel) -> dict[str, int]:
    """Counts of what is held; for logs and /health/ready."""
    return {
        "items": int(model.catalogue.live.sum()),
        "vectors": len(model.catalogue.index),
        "profiles": len(model.profiles),
    }

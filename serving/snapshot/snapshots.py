"""When a replica's memory is written and read, and what is said of it."""

import asyncio
import gc
import logging
import time
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from domain.clock import Clock
from domain.settings import ServingSettings
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, STAGES
from serving import metrics
from serving.columns import Column
from serving.read_model import ReadModel
from serving.snapshot import files
from serving.snapshot.place import Fault, Place, too_old

log = logging.getLogger(__name__)

FORMAT = 1

REST_S, WORK_S = 0.001, 0.001
"""The writing thread sleeps so long after so much work: requests wait for the interpreter no longer than that, where
Python itself would let them wait five times as long."""


class Told(msgspec.Struct, frozen=True):
    """What the manifest says: the shape that the reader must share, and the place."""

    format: int
    dimension: int
    model_version: str | None
    signals: list[float]
    place: Place


class Snapshots:
    """A replica's snapshot on disk. Whatever goes wrong with it is logged and counted, and stops nobody."""

    def __init__(self, settings: ServingSettings, model: ReadModel, clock: Clock) -> None:
        self._home = Path(settings.snapshot_path)
        self._every_s = settings.snapshot_every_s
        self._max_age_s = settings.snapshot_max_age_s
        self.ready_at_once = settings.snapshot_ready
        self._model = model
        self._own_version = model.catalogue.model_version
        self._clock = clock
        self._next = perf_counter() + self._every_s
        self._writing: asyncio.Task[None] | None = None
        self._hurry = False
        self._written: tuple[files.Manifest, Place] | None = None

    async def load(self) -> Place | None:
        """Fills the read model from the disk and returns where it then stands; None if there is nothing of use."""
        started = perf_counter()
        try:
            manifest = await asyncio.to_thread(files.read_manifest, self._home)
            if manifest is None:
                return None
            told = msgspec.convert(manifest.told, Told, strict=False)
            fault = self._fault_of(told)
            if fault is not None:
                discarded(fault)
                return None
            await self._restore(manifest)
        except Exception as error:
            self._model.clear()
            discarded(Fault("corrupt", f"{type(error).__name__}: {error}"))
            return None
        metrics.snapshot_load_seconds.set(perf_counter() - started)
        self._note(manifest, told.place)
        log.info("started from the snapshot in %s, in %.2f s", self._home, perf_counter() - started)
        return told.place

    def is_due(self) -> bool:
        """Whether the time for the next one has come, and none is being written."""
        return perf_counter() >= self._next and self._writing is None

    @property
    def is_writing(self) -> bool:
        """Whether one is being written."""
        return self._writing is not None

    async def save(self, place: Place) -> float:
        """Takes hold of the read model as it is now, and writes it in the background.

        Nothing may be applied until this returns. The event loop gets its turn between steps.

        Returns:
            The seconds that the longest step took.
        """
        self._next = perf_counter() + self._every_s
        if self._written is not None and self._written[1].offsets == place.offsets:
            await self._tell_again(self._written[0], place)
            return 0.0
        columns: list[tuple[str, Column]] = []
        told, longest, before = self._told(place), 0.0, perf_counter()
        write_index = self._model.catalogue.index.frozen()
        for column in self._model.columns():
            columns.append(column)
            longest = max(longest, perf_counter() - before)
            await asyncio.sleep(0)
            before = perf_counter()
        metrics.snapshot_stall.set(longest)
        self._writing = asyncio.create_task(self._write(told, place, columns, write_index))
        return longest

    async def finish(self, place: Place | None) -> None:
        """Writes a last one, at full speed; the follower must have stopped."""
        self._hurry = True
        if self._writing is not None:
            await self._writing
        if place is not None:
            await self.save(place)
            if self._writing is not None:
                await self._writing

    def _fault_of(self, told: Told) -> Fault | None:
        want = self._told(told.place)
        if told.format != FORMAT:
            return Fault("format", f"format {told.format}; this version reads {FORMAT}")
        if (told.dimension, told.signals) != (want.dimension, want.signals):
            return Fault("settings", "its vectors or signals are of another shape")
        if self._own_version not in (None, told.model_version):
            return Fault("settings", f"its texts were embedded by {told.model_version}, not {self._own_version}")
        return too_old(told.place, self._clock(), self._max_age_s)

    def _told(self, place: Place) -> Told:
        signals = [float(one) for one in (*POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, *STAGES)]
        catalogue = self._model.catalogue
        return Told(FORMAT, catalogue.index.dimension, catalogue.model_version, signals, place)

    async def _restore(self, manifest: files.Manifest) -> None:
        gc.disable()  # it would look through millions of new objects again and again, and find nothing
        try:
            folder = self._home / manifest.folder
            index = await asyncio.to_thread(self._model.catalogue.index.like, folder / files.INDEX)
            columns = await asyncio.to_thread(files.read, self._home, manifest)
            await self._model.restore(index, columns)
        finally:
            gc.enable()

    async def _tell_again(self, manifest: files.Manifest, place: Place) -> None:
        try:
            told = msgspec.to_builtins(self._told(place), str_keys=True)
            self._note(await asyncio.to_thread(files.tell_again, self._home, manifest, told), place)
        except OSError as error:
            self._failed(error)

    async def _write(self, told: Told, place: Place, columns: list[tuple[str, Column]], write_index: Any) -> None:  # noqa: ANN401
        started = perf_counter()
        rest = _Rest(self)
        try:
            manifest = await asyncio.to_thread(
                files.write, self._home, msgspec.to_builtins(told, str_keys=True), columns, write_index, rest
            )
            metrics.snapshot_seconds.set(perf_counter() - started)
            self._note(manifest, place)
            log.info("snapshot of %d bytes in %s, in %.2f s", manifest.bytes, self._home, perf_counter() - started)
        except Exception as error:  # a full disk is an OSError to Python and a RuntimeError to FAISS
            self._failed(error)
        finally:
            self._writing = None

    def _failed(self, error: Exception) -> None:
        metrics.snapshot_failures.inc()
        log.error("no snapshot could be written to %s: %s; the one before counts, if any", self._home, error)

    def _note(self, manifest: files.Manifest, place: Place) -> None:
        self._written = manifest, place
        metrics.snapshot_bytes.set(manifest.bytes)
        metrics.snapshot_current.set(place.current_ms / 1000)

    @property
    def hurries(self) -> bool:
        """Whether nobody is served any more."""
        return self._hurry


class _Rest:
    """Lets others have the interpreter once a millisecond of work is done."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._since = perf_counter()

    def __call__(self) -> None:
        if not self._snapshots.hurries and perf_counter() - self._since > WORK_S:
            time.sleep(REST_S)
            self._since = perf_counter()


def discarded(fault: Fault) -> None:
    """Says that a snapshot, or what a replica held, is given up."""
    metrics.snapshot_discarded.labels(fault.reason).inc()
    log.warning("what was kept is given up, the topics are read from the beginning: %s: %s", *fault)

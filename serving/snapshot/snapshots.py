"""When a replica's memory is written and read, and what is said of it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from domain.clock import Clock
from domain.garbage import none_collected
from domain.settings import ServingSettings
from serving import metrics
from serving.columns import Column
from serving.read_model import ReadModel
from serving.snapshot import files
from serving.snapshot.pace import Pace
from serving.snapshot.place import Fault, Place, too_old
from serving.snapshot.told import Told, is_news, misfit, told_of

log = logging.getLogger(__name__)


class Snapshots:
    """A replica's snapshot on disk. Whatever goes wrong with it is logged and counted, and stops nobody.

    Attributes:
        ready_at_once: whether a replica that started from one is ready before it has caught up.
    """

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
        self._pace = Pace()
        self._last: tuple[files.Manifest, Told] | None = None

    @property
    def is_due(self) -> bool:
        """Whether the time for the next one has come, and none is being written."""
        return perf_counter() >= self._next and not self.is_writing

    @property
    def is_writing(self) -> bool:
        """Whether one is being written."""
        return self._writing is not None

    async def load(self) -> Place | None:
        """Fills the read model from the disk and returns where it then stands; None if there is nothing of use."""
        started = perf_counter()
        try:
            manifest = await asyncio.to_thread(files.read_manifest, self._home)
            if manifest is None:
                return None
            told = msgspec.convert(manifest.told, Told, strict=False)
            fault = misfit(told, self._model, self._own_version)
            fault = fault or too_old(told.place, self._clock(), self._max_age_s)
            if fault is not None:
                discarded(fault)
                return None
            await self._restore(manifest)
        except Exception as error:
            self._model.clear()
            discarded(Fault("corrupt", f"{type(error).__name__}: {error}"))
            return None
        metrics.snapshot_load_seconds.set(perf_counter() - started)
        self._note(manifest, told)
        log.info("started from the snapshot in %s, in %.2f s", self._home, perf_counter() - started)
        return told.place

    async def save(self, place: Place) -> float:
        """Takes hold of the read model as it is now, and writes it in the background.

        Nothing may be applied until this returns. The event loop gets its turn between steps. Where nothing is
        new, only the moment up to which the last one is right is written.

        Returns:
            The seconds that the longest step took.
        """
        self._next = perf_counter() + self._every_s
        told = told_of(self._model, place)
        try:
            if self._last is not None and not is_news(told, self._last[1]):
                manifest = await asyncio.to_thread(files.tell_again, self._home, self._last[0], _plain(told))
                self._note(manifest, told)
                return 0.0
            write_index = self._model.catalogue.index.frozen()
            columns, longest = await self._held()
        except Exception as error:  # the follower goes on without one
            self._failed(error)
            return 0.0
        metrics.snapshot_stall.set(longest)
        self._writing = asyncio.create_task(self._write(told, columns, write_index))
        return longest

    async def finish(self, place: Place | None) -> None:
        """Writes a last one, at full speed; the follower must have stopped."""
        self._pace.hurries = True
        if self._writing is not None:
            await self._writing
        if place is not None:
            await self.save(place)
            if self._writing is not None:
                await self._writing

    async def _restore(self, manifest: files.Manifest) -> None:
        with none_collected():
            folder = self._home / manifest.folder
            index, columns = await asyncio.gather(
                asyncio.to_thread(self._model.catalogue.index.like, folder / files.INDEX),
                asyncio.to_thread(files.read, self._home, manifest),
            )
            await self._model.restore(index, columns)

    async def _held(self) -> tuple[list[tuple[str, Column]], float]:
        columns: list[tuple[str, Column]] = []
        longest, before = 0.0, perf_counter()
        for column in self._model.columns():
            columns.append(column)
            longest = max(longest, perf_counter() - before)
            await asyncio.sleep(0)
            before = perf_counter()
        return columns, longest

    async def _write(self, told: Told, columns: list[tuple[str, Column]], write_index: Callable[[Path], None]) -> None:
        started = perf_counter()
        try:
            manifest = await asyncio.to_thread(files.write, self._home, _plain(told), columns, write_index, self._pace)
            metrics.snapshot_seconds.set(perf_counter() - started)
            self._note(manifest, told)
            log.info("snapshot of %d bytes in %s, in %.2f s", manifest.bytes, self._home, perf_counter() - started)
        except Exception as error:  # a full disk is an OSError to Python and a RuntimeError to FAISS
            self._failed(error)
        finally:
            self._writing = None

    def _failed(self, error: Exception) -> None:
        metrics.snapshot_failures.inc()
        log.error("no snapshot could be written to %s: %s; the one before counts, if any", self._home, error)

    def _note(self, manifest: files.Manifest, told: Told) -> None:
        self._last = manifest, told
        metrics.snapshot_bytes.set(manifest.bytes)
        metrics.snapshot_current.set(told.place.current_ms / 1000)


def discarded(fault: Fault) -> None:
    """Says that a snapshot, or what a replica held, is given up."""
    metrics.snapshot_discarded.labels(fault.reason).inc()
    log.warning("what was kept is given up, the topics are read from the beginning: %s: %s", *fault)


def _plain(told: Told) -> Any:  # noqa: ANN401 - what JSON can say
    return msgspec.to_builtins(told, str_keys=True)

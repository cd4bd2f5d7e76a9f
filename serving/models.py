"""The learned models that a replica answers with, swapped while it serves. No Kafka in here.

The read model feeds it the records of `models`; the request path asks for what is active. What bytes mean
is known only to the loaders, one for each model.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass

import msgspec

from domain.model_shelf import Active, ModelShelf
from domain.models import Manifest
from serving import metrics
from serving.columns import Column, Columns

log = logging.getLogger(__name__)

Loader = Callable[[bytes], object]
"""Makes a model of its artefact. Whatever it raises, the replica keeps the model it has."""


@dataclass(frozen=True)
class LoadedModel:
    """A model with what is known of it: one value, so that a reader never sees two versions mixed.

    `raw` is its artefact where snapshots are made, else empty.
    """

    model: object
    manifest: Manifest
    raw: bytes = b""


class Models:
    """The active models. One without a loader is passed over.

    A request takes `loaded` once and works with what it got; a swap is one assignment.
    """

    def __init__(self, loaders: Mapping[str, Loader] | None = None, keeps_raw: bool = False) -> None:
        self._loaders = dict(loaders or {})
        self._keeps_raw = keeps_raw
        self._shelf = ModelShelf()
        self._loaded: dict[str, LoadedModel] = {}
        self._wanted: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        # One thread: loads queue, and two artefacts are never unpacked at once.
        self._thread = ThreadPoolExecutor(1, "model-loader")

    def active(self, name: str) -> object | None:
        """Returns the model that requests are to be answered with; None before the first was loaded."""
        loaded = self._loaded.get(name)
        return None if loaded is None else loaded.model

    def loaded(self, name: str) -> LoadedModel | None:
        """Returns the same with its manifest."""
        return self._loaded.get(name)

    def without(self, name: str) -> "Models":
        """Returns what is loaded now but one, to be read only."""
        view = copy(self)
        vars(view)["_loaded"] = {other: one for other, one in self._loaded.items() if other != name}
        return view

    def versions(self) -> dict[str, str]:
        """The version of each model that requests are answered with."""
        return {name: one.manifest.version for name, one in list(self._loaded.items())}

    def faults(self) -> dict[str, str]:
        """By model, why the version that should be active is not; empty if all is well."""
        return self._refusals | self._shelf.faults

    def put(self, key: str, raw: bytes | None, live: bool) -> None:
        """Takes a record of the topic `models`; loads a version that became active.

        Args:
            key: the record's key.
            raw: the record's value; None deletes.
            live: requests are being answered, so load in the thread; otherwise this returns when it is loaded.

        Raises:
            MalformedEvent: the key is no model's.
        """
        before = dict(self._shelf.faults)
        active = self._shelf.put(key, raw)
        for name, fault in self._shelf.faults.items():
            if fault != before.get(name):
                _refused(name, fault)
        if active is None or active.name not in self._loaders:
            return
        self._wanted[active.name] = active.version
        if live:
            self._thread.submit(self._load, active)
        else:
            self._load(active)

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs: the active versions. The shelf is not in it: `models` is always read whole."""
        found = [(one.manifest, one.raw) for one in list(self._loaded.values()) if one.raw]
        yield "manifests", [msgspec.msgpack.encode(manifest) for manifest, _ in found]
        yield "artefacts", [raw for _, raw in found]

    def restore(self, columns: Columns) -> None:
        """Loads what `columns` gave; returns when it is loaded."""
        for told, raw in zip(columns.strings("manifests"), columns.strings("artefacts"), strict=True):
            manifest = msgspec.msgpack.decode(told, type=Manifest)
            if manifest.name in self._loaders:
                self._wanted[manifest.name] = manifest.version
                self._load(Active(manifest.name, manifest.version, raw, manifest))

    def clear(self) -> None:
        """Forgets all, as before the first record."""
        self._shelf = ModelShelf()
        self._wanted = {}
        loaded, self._loaded = self._loaded, {}
        for name, one in loaded.items():
            metrics.model_info.remove(name, one.manifest.version)

    def _load(self, active: Active) -> None:
        """Swaps to a version, unless by now another one is wanted or this one is loaded."""
        before = self._loaded.get(active.name)
        if self._wanted.get(active.name) != active.version:
            return
        if before is None or before.manifest.version != active.version:
            try:
                model = self._loaders[active.name](active.raw)
            except Exception as error:
                self._refusals[active.name] = f"{active.version}: {type(error).__name__}: {error}"
                _refused(active.name, self._refusals[active.name])
                return
            if self._wanted.get(active.name) != active.version:
                return
            self._loaded[active.name] = LoadedModel(model, active.manifest, active.raw if self._keeps_raw else b"")
            _swapped(active, before)
        self._refusals.pop(active.name, None)


def _refused(name: str, fault: str) -> None:
    metrics.model_refused.labels(name).inc()
    log.error("model %s stays as it is: %s", name, fault)


def _swapped(active: Active, before: LoadedModel | None) -> None:
    if before is not None:
        metrics.model_info.remove(active.name, before.manifest.version)
    metrics.model_info.labels(active.name, active.version).set(1)
    log.info("model %s is now %s (%d bytes)", active.name, active.version, len(active.raw))

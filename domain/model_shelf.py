"""Puts model artefacts together from the records of the topic `models`, however they come.

A replica feeds it whatever it reads. Memory: of each model, the chunks of the version that the pointer wants
and of the newest OTHERS beside it, and nothing of a version once it has been handed out.
"""

from dataclasses import dataclass, field

from domain.codecs import unpack
from domain.errors import MalformedEvent
from domain.models import MODEL_NAMES, Address, Manifest, Pointer, join, parse_key, read_manifest

OTHERS = 2
"""Two trainers may publish at once; a version that no pointer follows is not worth more memory than this."""


@dataclass(frozen=True)
class Active:
    """A version that became the active one of its model, whole and with the right sha256."""

    name: str
    version: str
    raw: bytes
    manifest: Manifest


@dataclass
class _Box:
    """What has come of one version. `first` and `last` count arrivals; `flaw` says why it has no manifest."""

    first: int
    last: int = 0
    manifest: Manifest | None = None
    flaw: str = "its manifest is missing"
    chunks: dict[int, bytes] = field(default_factory=dict)

    def is_whole(self) -> bool:
        return self.manifest is not None and all(number in self.chunks for number in range(self.manifest.chunks))

    def take(self, address: Address, raw: bytes | None) -> bool:
        """Takes a manifest or a chunk, or its deletion; says whether that changed anything."""
        if address.chunk is None:
            return self._take_manifest(address, raw)
        held = self.chunks.get(address.chunk)
        if raw is None:
            self.chunks.pop(address.chunk, None)
        else:
            self.chunks[address.chunk] = raw
        return raw != held

    def _take_manifest(self, address: Address, raw: bytes | None) -> bool:
        before = self.manifest
        try:
            self.manifest = None if raw is None else read_manifest(address, raw)
        except MalformedEvent as error:
            self.flaw = str(error)
            raise
        return self.manifest != before


class _Versions:
    """The versions of one model."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pointer: Pointer | None = None
        self._shown: Pointer | None = None
        self._boxes: dict[str, _Box] = {}  # in the order of their latest arrivals
        self._arrivals = 0

    def put(self, address: Address, raw: bytes | None) -> Active | None:
        if address.version is None:
            return self._point(raw)
        self._arrivals += 1
        box = self._boxes.pop(address.version, None) or _Box(self._arrivals)
        box.last = self._arrivals
        self._boxes[address.version] = box
        changed = box.take(address, raw)
        self._tidy()
        pointer = self._pointer
        if changed and pointer is not None and pointer.version == address.version and not self.is_settled():
            return self._show(pointer) if box.is_whole() else None
        return None

    def _point(self, raw: bytes | None) -> Active | None:
        if raw is None:
            self._pointer = None
            raise MalformedEvent("the pointer was deleted; run: freshet models promote")
        pointer = unpack(raw, Pointer)
        if self._pointer is not None and pointer.at_ms < self._pointer.at_ms:
            return None  # the log is read again from its beginning
        self._pointer = pointer
        if pointer == self._shown or (self._has_shown(pointer.version) and not self._is_whole(pointer.version)):
            self._shown = pointer  # its bytes were here and right; of a second copy some may be compacted away
            self._forget(pointer.version)
            return None
        return self._show(pointer)

    def is_settled(self) -> bool:
        """Whether what the pointer wants has been handed out."""
        return self._pointer is not None and self._pointer == self._shown

    def _has_shown(self, version: str) -> bool:
        return self._shown is not None and self._shown.version == version

    def _is_whole(self, version: str) -> bool:
        box = self._boxes.get(version)
        return box is not None and box.is_whole()

    def _show(self, pointer: Pointer) -> Active:
        box = self._boxes.get(pointer.version) or _Box(0)
        if box.manifest is None:
            raise MalformedEvent(f"{pointer.version}: {box.flaw}")
        raw = join(box.manifest, box.chunks)
        self._shown = pointer
        self._forget(pointer.version)
        return Active(self._name, pointer.version, raw, box.manifest)

    def _forget(self, version: str) -> None:
        """Drops a version that has been handed out, and those that lay whole before it began.

        A pointer comes with its manifest, so one to them would come after their records once more.
        """
        box = self._boxes.pop(version, None)
        if box is not None:
            kept = [one for one, other in self._boxes.items() if other.last > box.first or not other.is_whole()]
            self._boxes = {one: self._boxes[one] for one in kept}

    def _tidy(self) -> None:
        wanted = None if self._pointer is None else self._pointer.version
        empty = [name for name, one in self._boxes.items() if one.manifest is None and not one.chunks]
        others = [name for name in self._boxes if name != wanted and name not in empty]
        for name in [*empty, *others[:-OTHERS]]:
            del self._boxes[name]


class ModelShelf:
    """Says when a model's active version is there. What is active stays so until another one is whole.

    Attributes:
        faults: by model, why the version that its pointer wants cannot be had, or what else was wrong with
            its newest records; a pointer that is satisfied takes the fault away.
    """

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self._versions = {name: _Versions(name) for name in MODEL_NAMES}

    def put(self, key: str, raw: bytes | None) -> Active | None:
        """Takes a record; None deletes. Chunks may come in any order, twice, and after their pointer.

        Returns:
            The active version, the moment that it became available or changed, and again if it was promoted
            again; else None. On that moment it costs a copy and a sha256 of the artefact, some 3 ms a MB.

        Raises:
            MalformedEvent: the key is no model's. Everything else that is wrong goes into `faults`.
        """
        address = parse_key(key)
        versions = self._versions[address.name]
        try:
            active = versions.put(address, raw)
        except MalformedEvent as error:
            self.faults[address.name] = f"{key}: {error}"
            return None
        if active is not None or (address.version is None and versions.is_settled()):
            self.faults.pop(address.name, None)
        return active

"""What lies on the topic `models`, version by version, without the artefacts' bytes. Pure."""

from dataclasses import dataclass, field

from domain.clock import DAY_MS
from domain.codecs import unpack
from domain.errors import MalformedEvent, QueryError
from domain.models import MODEL_NAMES, Address, Manifest, Pointer, chunk_key, manifest_key, parse_key, read_manifest

KEPT = 5
"""How many versions of a model stay on the topic, the newest; the active and the previous one stay besides."""

ABANDONED_MS = DAY_MS
"""Chunks without a manifest are those of a publication that is under way, or after this long, that never ended."""


@dataclass
class Version:
    """One version of a model.

    Attributes:
        name, version: which.
        manifest: None if there is none, or one that cannot be read; then `flaw` says why.
        sizes: bytes of each chunk, by number.
        written_ms: when its newest record was written, epoch milliseconds.
    """

    name: str
    version: str
    manifest: Manifest | None = None
    flaw: str = ""
    sizes: dict[int, int] = field(default_factory=dict)
    written_ms: int = 0

    def is_whole(self) -> bool:
        """Whether all its bytes are there; whether they are the right ones only their sha256 says."""
        return self.manifest is not None and self.sizes.keys() >= set(range(self.manifest.chunks))

    def created_ms(self) -> int:
        """When it was made, as far as is known."""
        return self.manifest.created_ms if self.manifest else self.written_ms

    def take(self, address: Address, raw: bytes | None) -> bool:
        """Takes a manifest, a chunk, or its deletion; says whether anything is left."""
        if address.chunk is None:
            self.manifest, self.flaw = None, ""
            try:
                self.manifest = None if raw is None else read_manifest(address, raw)
            except MalformedEvent as error:
                self.flaw = str(error)
        else:
            self.sizes.pop(address.chunk, None)
            if raw is not None:
                self.sizes[address.chunk] = len(raw)
        return bool(self.sizes or self.manifest or self.flaw)


class Contents:
    """What the topic's records come to.

    Attributes:
        pointers: by model; a model without an active version has none.
    """

    def __init__(self) -> None:
        self.pointers: dict[str, Pointer] = {}
        self._versions: dict[tuple[str, str], Version] = {}

    def put(self, key: str, raw: bytes | None, written_ms: int) -> None:
        """Takes a record, in the topic's order. One of a model that is not known is passed over.

        Raises:
            MalformedEvent: a pointer that cannot be read.
        """
        try:
            address = parse_key(key)
        except MalformedEvent:
            return
        if address.version is None:
            self.pointers.pop(key, None)
            if raw is not None:
                self.pointers[key] = unpack(raw, Pointer)
            return
        place = (address.name, address.version)
        one = self._versions.setdefault(place, Version(*place))
        one.written_ms = max(one.written_ms, written_ms)
        if not one.take(address, raw):
            del self._versions[place]

    def pointer(self, name: str) -> Pointer | None:
        """Which version of a model is active; None if none is.

        Raises:
            QueryError: no such model.
        """
        return self.pointers.get(known(name))

    def versions(self, name: str | None = None) -> list[Version]:
        """The versions of a model, or of all, by model, the newest first.

        Raises:
            QueryError: no such model.
        """
        names = MODEL_NAMES if name is None else (known(name),)
        found = sorted(self._versions.values(), key=lambda one: (one.created_ms(), one.version), reverse=True)
        return [one for of in names for one in found if one.name == of]

    def whole(self, name: str, version: str) -> Manifest:
        """The manifest of a version all of whose bytes are there.

        Raises:
            QueryError: no such model, or no such version; the message names those that there are.
        """
        one = self._versions.get((known(name), version))
        if one is None:
            raise QueryError(f"model {name}: version {version} is not on the topic{self.choice(name)}")
        if one.manifest is None or not one.is_whole():
            raise QueryError(f"model {name}: version {version} is not whole{self.choice(name)}")
        return one.manifest

    def choice(self, name: str) -> str:
        """Which versions of a model there are, for the end of an error."""
        whole = [one.version for one in self.versions(name) if one.is_whole()]
        return f"; there is {', '.join(whole)}" if whole else "; none has been published"


def surplus(contents: Contents, now_ms: int) -> list[str]:
    """Returns the keys of what is to be deleted, of each version the manifest first.

    That is what lies beyond KEPT, and what was abandoned; never the active or the previous version, nor one
    with a manifest that a newer Freshet wrote.
    """
    keys: list[str] = []
    for name in MODEL_NAMES:
        at = contents.pointer(name)
        used = set() if at is None else {at.version, at.previous}
        found = contents.versions(name)
        old = [one for one in found if one.manifest][KEPT:]
        old += [one for one in found if not one.manifest and not one.flaw and now_ms - one.written_ms > ABANDONED_MS]
        for one in old:
            if one.version not in used:
                keys.append(manifest_key(name, one.version))
                keys += [chunk_key(name, one.version, number) for number in sorted(one.sizes)]
    return keys


def known(name: str) -> str:
    """Returns the name of a model that there is.

    Raises:
        QueryError: there is no such model.
    """
    if name not in MODEL_NAMES:
        raise QueryError(f"model {name!r} is not one of {', '.join(MODEL_NAMES)}")
    return name

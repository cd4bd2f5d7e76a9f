"""The part of `freshet doctor` that looks at the replica's snapshot on disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cli.findings import Finding, ok, wrong
from domain.clock import Clock, system_clock
from domain.errors import SnapshotCorrupt
from domain.settings import ServingSettings


def check_snapshot(settings: ServingSettings, clock: Clock = system_clock) -> Iterator[Finding]:
    """What the snapshot says of itself; nothing where none is asked for. Its files are not read."""
    from serving.snapshot.files import read_manifest  # NumPy

    if not settings.snapshot_path:
        return
    home = Path(settings.snapshot_path)
    try:
        manifest = read_manifest(home)
        if manifest is None:
            yield _without(home)
            return
        age_s = (clock() - msgspec.convert(manifest.told["place"]["current_ms"], int)) / 1000
    except (SnapshotCorrupt, LookupError, TypeError, msgspec.MsgspecError) as error:
        yield wrong("snapshot", f"{home}: {error}", "delete the folder; a replica writes another one")
        return
    found = f"{home}: {manifest.bytes / 1e6:,.1f} MB, up to date {age_s:,.0f} s ago"
    if age_s > settings.snapshot_max_age_s:
        yield ok("snapshot", f"{found}, so a replica reads the topics instead")
    else:
        yield ok("snapshot", found)


def _without(home: Path) -> Finding:
    place = next(one for one in (home, *home.parents) if one.exists())
    if place.is_dir() and os.access(place, os.W_OK):
        return ok("snapshot", f"{home}: none yet")
    return wrong("snapshot", f"{home}: nothing can be written to {place}", "change FRESHET_SNAPSHOT_PATH")

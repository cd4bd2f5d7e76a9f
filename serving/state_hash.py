"""One hash for each state that is derived from the topics, to tell whether two runs came to the same.

Log coordinates (offsets, arrival times) are left out: a producer that sent an event twice moves them, and
means nothing by it. Decayed counts are rounded to six digits: where partitions interleave
differently the last bits may differ. Of an embedding counts which text it was made of, and by which model: a
vector's own third digit depends on what went through the encoder together with it.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from domain.profile import Profile
from learning.signals import ItemSignals
from serving.read_model import ReadModel


def state_hashes(model: ReadModel) -> dict[str, str]:
    """Returns a hash for items, embeddings, signals and profiles, and one over all of them, `state`."""
    catalogue = model.catalogue
    by_id = sorted(catalogue.rows.items())
    items = ((item_id, catalogue.items[row]) for item_id, row in by_id if catalogue.live[row])
    embeddings = (
        (item_id, catalogue.text_hashes[row].tobytes().hex()) for item_id, row in by_id if catalogue.vectors[row].any()
    )
    signals = (
        (item_id, partition, *_told_of(share))
        for item_id, row in by_id
        for partition, share in sorted(model.behaviour.shares(row).items())
    )
    profiles = ((one, told) for one in sorted(model.profiles.user_ids()) if (told := _told(model.profiles.get(one))))
    hashes = {
        "items": _hash(items),
        "item-embeddings": _hash(embeddings),
        "item-signals": _hash(signals),
        "user-profiles": _hash(profiles),
    }
    return hashes | {"state": _hash(hashes.items())}


def _told(profile: Profile | None) -> tuple[object, ...] | None:
    """What a profile says, without where it was read; None if it says nothing."""
    if profile is None:
        return None
    touches = [(one.event_time, one.event_id, one.item_id, one.type, one.value) for one in profile.touches]
    fate = (profile.forgotten_until, profile.opted_out, profile.merged_into)
    return (touches, *fate) if touches or fate != (-1, False, None) else None


def _told_of(share: ItemSignals) -> tuple[object, ...]:
    """What a share says, without how far its owner has read."""
    counts = [_short(one) for one in share.counts + share.stages]
    return share.first_ms, share.as_of_ms, counts, sorted(share.before.items())


def _short(value: float) -> str:
    return f"{value:.6g}"


def _hash(values: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(msgspec.json.encode(value))
        digest.update(b"\n")
    return digest.hexdigest()[:16]

"""A draft does what inserting into the unpacked profile does, for any interactions in any order and in any batches."""

import random

import msgspec
import pytest

from domain.codecs import pack, unpack
from domain.interactions import INTERACTION_TYPES
from domain.profile import EMPTY, Insertion, Profile, Touch, insert, moved_to
from learning.signals import predecessors, pulling_types
from stream.profile_draft import Draft

PULLING = pulling_types(INTERACTION_TYPES)


def touches(seed: int) -> list[Touch]:
    """Of few items and many, in order and out of it, some twice at other offsets, some with ids within others."""
    rng = random.Random(seed)
    items, disorder = rng.choice((3, 26, 27, 80)), rng.choice((0, 0, 5))
    made = [
        Touch(
            max(0, at - rng.randint(0, disorder)),
            f"e{rng.randrange(200) if rng.random() < 0.1 else at}",
            f"i{rng.randrange(items)}",
            rng.choice(("click", "view", "dislike")),
            None,
            at,
        )
        for at in range(150)
    ]
    return made


@pytest.mark.parametrize("seed", range(60))
def test_a_draft_is_the_profile_that_insertion_gives_whatever_the_batches(seed):
    rng = random.Random(seed)
    size, profile = rng.choice((5, 26, 30, 200)), msgspec.structs.replace(EMPTY, forgotten_until=rng.choice((-1, 9)))
    draft = Draft(pack(profile), PULLING)
    for one in touches(seed):
        before = profile.touches
        profile, became = insert(profile, one, size)
        profile = moved_to(profile, one.offset, one.offset + 7)
        led = tuple(predecessors(before, one, PULLING)) if became is Insertion.NEW else ()
        assert draft.insert(one, size) == (became, len(before), led)
        draft.moved_to(one.offset, one.offset + 7)
        if rng.random() < 0.2:  # the batch ends; the next one may find the draft, or begin with what was written
            raw = draft.pack()
            assert raw == pack(profile)
            draft = draft if draft.is_packed and rng.random() < 0.5 else Draft(raw, PULLING)
    assert unpack(draft.pack(), Profile) == profile


def test_interactions_in_order_are_never_unpacked():
    draft = Draft(None, PULLING)
    for at in range(300):
        draft.insert(Touch(at, f"e{at}", f"i{at}", "click", None, at), 200)
    assert draft.is_packed and len(unpack(draft.pack(), Profile).touches) == 200


def test_who_opted_out_is_not_remembered():
    draft = Draft(pack(msgspec.structs.replace(EMPTY, opted_out=True)), PULLING)
    assert draft.insert(Touch(1, "e", "i", "click", None, 1), 200)[0] is Insertion.FORGOTTEN

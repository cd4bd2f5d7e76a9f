"""A draft does what inserting into the unpacked profile does, for any interactions in any order and in any batches."""

import random

import msgspec
import pytest

from domain.codecs import pack, unpack
from domain.interactions import INTERACTION_TYPES, Interaction
from domain.profile import EMPTY, Insertion, Profile, insert, moved_to, touch_of
from learning.signals import predecessors, pulling_types
from stream.profile_draft import SEARCHED, Draft

PULLING = pulling_types(INTERACTION_TYPES)

LONG = ["", "", "", "x" * 29, "x" * 120, "\u7535\u5f71" * 40]
"""Behind event ids: MessagePack writes short and long ones in different ways, and what is not ASCII is longer."""


def clicked(
    event_id: str, event_time: int, item_id: str, kind: str = "click", value: float | None = None
) -> Interaction:
    return Interaction(event_id=event_id, type=kind, user_id="u", item_id=item_id, event_time=event_time, value=value)


def interactions(seed: int) -> list[Interaction]:
    """Of few items and many, in order and out of it, some twice at other offsets, some with ids within others."""
    rng = random.Random(seed)
    items, disorder = rng.choice((3, 26, 27, 80)), rng.choice((0, 0, 5))
    return [
        clicked(
            f"e{rng.randrange(200) if rng.random() < 0.1 else at}" + LONG[at % len(LONG)],
            max(0, at - rng.randint(0, disorder)),
            f"i{rng.randrange(items)}",
            rng.choice(("click", "view", "dislike")),
            rng.choice((None, 1.5, -0.0)),
        )
        for at in range(150)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_a_draft_is_the_profile_that_insertion_gives_whatever_the_batches(seed):
    rng = random.Random(seed)
    size, forgotten = rng.choice((5, 26, 30, 200)), rng.choice((-1, 9))
    profile = Profile((), -1, 17, 5, forgotten, False, rng.choice((None, "login")))
    draft = Draft(pack(profile), PULLING)
    for offset, one in enumerate(interactions(seed)):
        before, touch = profile.touches, touch_of(one, offset)
        profile, became = insert(profile, touch, size)
        profile = moved_to(profile, offset, offset + 7)
        led = predecessors(before, touch, PULLING) if became is Insertion.NEW else []
        what_became, history, led_to_it = draft.insert(one, offset, size)
        assert (what_became, history, list(led_to_it)) == (became, len(before), led)
        draft.position, draft.arrived_ms = offset, offset + 7
        if rng.random() < 0.2:  # the batch ends; the next one may find the draft, or begin with what was written
            raw = draft.pack()
            assert raw == pack(profile)
            draft = draft if draft.is_packed and rng.random() < 0.5 else Draft(raw, PULLING)
    assert unpack(draft.pack(), Profile) == profile


def test_interactions_in_order_are_never_unpacked():
    draft = Draft(None, PULLING)
    for at in range(300):
        draft.insert(clicked(f"e{at}", at, f"i{at}"), at, 200)
    assert draft.is_packed and len(unpack(draft.pack(), Profile).touches) == 200


def test_who_opted_out_is_not_remembered():
    draft = Draft(pack(msgspec.structs.replace(EMPTY, opted_out=True)), PULLING)
    assert draft.insert(clicked("e", 1, "i"), 1, 200)[0] is Insertion.FORGOTTEN


@pytest.mark.parametrize("inserted", [0, SEARCHED - 1, SEARCHED, SEARCHED + 1, 100, 200, 250])
def test_an_event_is_known_again_however_its_id_is_looked_up_by_then(inserted):
    """What a draft began with is searched at first and its ids looked up later; some of them are dropped meanwhile."""
    kept = range(max(0, inserted - 50), 150 + inserted)
    known = [
        (kept[0], Insertion.DUPLICATE),
        (kept[len(kept) // 2], Insertion.DUPLICATE),
        (kept[-1], Insertion.DUPLICATE),
    ]
    for one, became in [*known, (-1, Insertion.NEW), (kept[0] - 1, Insertion.NEW)]:
        begun = Draft(None, PULLING)
        for at in range(150):
            begun.insert(clicked(f"e{at}", at, "i"), at, 200)
        draft = Draft(begun.pack(), PULLING)
        for at in range(150, 150 + inserted):
            assert draft.insert(clicked(f"e{at}", at, "i"), at, 200)[0] is Insertion.NEW
        assert draft.is_packed and len(draft._known) <= 200
        assert (draft._began is None) == (inserted > SEARCHED)
        assert draft.insert(clicked(f"e{one}", 1_000, "i"), 1_000, 200)[0] is became

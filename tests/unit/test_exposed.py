"""Learning from exposures: towards what was chosen, once, in time, in bounded memory."""

import msgspec
import numpy as np
import pytest

from cli.judging.exposed import CAP, SLATES, WINDOW_MS, Exposed
from cli.judging.world import World
from cli.learner import Learner
from domain.codecs import pack
from domain.exposures import ExposedItem, Exposure
from domain.interactions import Interaction
from domain.items import Item
from domain.log_reader import LogRecord
from domain.models import describe, moved, records_of
from domain.settings import ServingSettings
from tests.builders import START_MS, interaction

ITEMS = 30
SECOND = 1000


@pytest.fixture
def world() -> World:
    """Thirty items; i0 to i9 are touched by everybody, the others by nobody."""
    world = World(ServingSettings(profile_size=50), 8)
    vectors = np.random.default_rng(0).standard_normal((ITEMS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = [Item(item_id=f"i{at}", title=f"Item {at}") for at in range(ITEMS)]
    world.put_items(items, vectors, "v", START_MS - 86_400_000)
    past = [interaction(f"u{user}", f"i{at}", user * 20 + at) for user in range(8) for at in range(10)]
    world.learn([msgspec.json.encode(one) for one in past], past)
    return world


def exposure(
    user: str = "ann", second: int = 1000, shown: range = range(5, 15), name: str = "r", propensity: float = 1.0
):
    items = [ExposedItem(f"i{at}", place, 0.0, "popularity", propensity) for place, at in enumerate(shown)]
    return Exposure(
        recommendation_id=name,
        user_id=user,
        shown_at=START_MS + second * SECOND,
        scenario="",
        variant="default",
        fallback=None,
        items=items,
    )


def row(world: World, item: str) -> int:
    return world.model.catalogue.rows[item]


def weights(world: World) -> np.ndarray:
    return np.frombuffer(world.model.ranker().to_bytes(), np.uint8)


def chance(world: World, shown: Exposure, item: str) -> float:
    """How likely the ranker holds it to be chosen among what is shown."""
    noted = Exposed(world)
    noted.note(shown)
    (slate,) = noted._slates[shown.user_id]
    scores = slate.candidates @ world.model.ranker().weights(slate.context)
    chances = np.exp(scores - scores.max())
    return float((chances / chances.sum())[slate.rows == row(world, item)][0])


def record(topic: str, value: Interaction | Exposure, offset: int = 0) -> LogRecord:
    at = value.time_ms if isinstance(value, Interaction) else value.shown_at
    return LogRecord(topic, 0, offset, at, value.user_id.encode(), msgspec.json.encode(value))


def test_the_weights_move_towards_what_was_chosen_again_and_again(world: World) -> None:
    exposed, before = Exposed(world), chance(world, exposure(), "i12")
    for at in range(30):
        exposed.note(exposure(f"x{at}"))
        assert exposed.learn(interaction(f"x{at}", "i12", 1010), row(world, "i12"))
    assert chance(world, exposure(), "i12") > before + 0.05, "an item nobody had touched is chosen each time"
    assert world.model.ranker().learned == 30


def test_a_rarely_shown_item_counts_more_but_no_more_than_the_cap(world: World) -> None:
    exposed = Exposed(world)
    exposed.note(exposure("a", propensity=0.5))
    exposed.note(exposure("b", propensity=0.001))
    (half,), (rare,) = exposed._slates["a"], exposed._slates["b"]
    assert (half.weights == 2).all() and (rare.weights == CAP).all()


@pytest.mark.parametrize("second", [999, 1000 + WINDOW_MS // SECOND + 1])
def test_before_the_slate_or_long_after_it_is_not_its_doing(world: World, second: int) -> None:
    exposed, before = Exposed(world), weights(world)
    exposed.note(exposure())
    assert not exposed.learn(interaction("ann", "i12", second), row(world, "i12"))
    assert not exposed.learn(interaction("ann", "i20", 1010), row(world, "i20")), "was not shown"
    assert not exposed.learn(interaction("bob", "i12", 1010), row(world, "i12")), "was shown to somebody else"
    assert (weights(world) == before).all()


def test_the_same_item_of_a_slate_teaches_once(world: World) -> None:
    exposed = Exposed(world)
    exposed.note(exposure())
    assert exposed.learn(interaction("ann", "i12", 1010), row(world, "i12"))
    assert exposed.learn(interaction("ann", "i12", 1020, type="purchase"), row(world, "i12"))
    assert world.model.ranker().learned == 1
    exposed.learn(interaction("ann", "i13", 1030), row(world, "i13"))
    assert world.model.ranker().learned == 2


def test_an_interaction_that_names_its_slate_is_learned_from_that_one(world: World) -> None:
    exposed = Exposed(world)
    for at in range(3):
        exposed.note(exposure(second=1000 + at, name=f"r{at}"))
    exposed.learn(interaction("ann", "i12", 1010, recommendation_id="r1"), row(world, "i12"))
    exposed.learn(interaction("ann", "i13", 1010), row(world, "i13"))
    assert [sorted(one.taken) for one in exposed._slates["ann"]] == [[], [row(world, "i12")], [row(world, "i13")]]


def test_what_is_remembered_is_bounded(world: World) -> None:
    exposed = Exposed(world, users=3)
    for user in range(5):
        for at in range(SLATES + 4):
            exposed.note(exposure(f"x{user}", 1000 + at))
    assert len(exposed) == 3 * SLATES and set(exposed._slates) == {"x2", "x3", "x4"}
    assert exposed._slates["x4"][0].at_ms == START_MS + 1004 * SECOND, "the newest stay"


def test_a_slate_with_fewer_than_two_known_items_teaches_nothing(world: World) -> None:
    exposed = Exposed(world)
    exposed.note(exposure(shown=range(29, 40)))
    exposed.note(exposure(shown=range(0)))
    assert not len(exposed)


def test_a_duplicate_is_not_learned_twice(world: World) -> None:
    learner = Learner(world)
    learner.expose(record("exposures", exposure()))
    chosen, elsewhere = interaction("ann", "i12", 1010), interaction("bob", "i14", 1020)
    learner.interact(record("interactions", chosen))
    learner.interact(record("interactions", elsewhere))
    assert (learner.learned, learner.shown) == (2, 1), "one of a slate, one of what could have been recommended"
    before = weights(world)
    for one in (chosen, elsewhere):
        learner.interact(record("interactions", one, 7))
    assert learner.learned == 2 and (weights(world) == before).all()
    assert world.model.profiles.get("ann").touches[0].item_id == "i12"


def test_the_own_publication_coming_back_takes_no_step_away_but_a_rollback_to_it_does(world: World) -> None:
    learner = Learner(world)
    learner.interact(record("interactions", interaction("ann", "i12", 1010)))
    raw = world.model.ranker().to_bytes()
    manifest = describe("ranker", raw, START_MS, {}, {}, "")
    learner.published(manifest.version)
    learner.interact(record("interactions", interaction("ann", "i13", 1020)))
    for again in range(2):
        pointer = moved(None, manifest.version, "promoted", START_MS + again)
        records = [*records_of(manifest, raw), ("ranker", pack(pointer))]
        learner.describe([LogRecord("models", 0, 0, START_MS, key.encode(), value) for key, value in records])
        assert world.model.ranker().learned == (1 if again else 2)
    learner.interact(record("interactions", interaction("ann", "i14", 1030)))
    assert world.model.ranker().learned == 2, "and it goes on from there"


def test_what_is_no_choice_or_cannot_be_read_teaches_nothing(world: World) -> None:
    learner, before = Learner(world), weights(world)
    learner.expose(record("exposures", exposure()))
    learner.interact(record("interactions", interaction("ann", "i12", 1010, type="impression")))
    learner.interact(record("interactions", interaction("ann", "i11", 1010, type="dislike")))
    learner.interact(record("interactions", interaction("ann", "unheard-of", 1010)))
    learner.interact(LogRecord("interactions", 0, 0, START_MS, b"ann", b"oops"))
    learner.expose(LogRecord("exposures", 0, 0, START_MS, b"ann", b"{}"))
    assert learner.learned == 0 and learner.refused == 2 and (weights(world) == before).all()


def test_nothing_is_learned_from_who_opted_out(world: World) -> None:
    learner = Learner(world)
    gone = b'{"user_id": "ann", "action": "opt_out", "event_time": %d}' % START_MS
    learner.forget([LogRecord("users", 0, 0, START_MS, b"ann", gone)])
    learner.expose(record("exposures", exposure()))
    learner.interact(record("interactions", interaction("ann", "i12", 1010)))
    assert learner.learned == 0 and world.model.profiles.get("ann") is None

"""The live meter judges what serving would have shown before the choice, and nothing else."""

import asyncio
import random

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from cli.judging.judge import Judge
from cli.judging.log import EventLog
from cli.judging.world import World
from domain.interactions import Interaction
from domain.items import Item
from domain.log_reader import LogRecord
from domain.settings import ServingSettings
from embeddings.transformer import TransformerEncoder
from serving import live_meter
from serving.live_meter import LiveMeter, Means
from serving.pipeline import recommend
from serving.query import stored_query
from stream.profile_updates import apply_interactions
from tests.builders import RULES, START_MS, Deployment, derived_records, interaction, log_of

pytestmark = pytest.mark.anyio

THEMES = ("a monster in space", "love in Paris", "a bank robbery")
FILMS = [
    Item(item_id=f"i{n}", title=f"{THEMES[n % 3]} {n}", categories=[f"c{n % 3}"], published_at=1) for n in range(30)
]


class Metered:
    """A deployment whose users are all followed, from the first second on."""

    def __init__(self, encoder: TransformerEncoder, **settings: object) -> None:
        self.deployment = Deployment(encoder, **{"live_meter_share": 1.0, "live_meter_per_second": 1000.0} | settings)
        self.deployment.put_items(*FILMS)
        self.model = self.deployment.replica.model
        self.model.live = True
        self.meter = self.deployment.replica.meter
        self.model.watcher = self.meter
        self.learn = self.deployment.learn
        self.at(0)

    def at(self, second: float) -> None:
        """Sets the replica's clock."""
        self.deployment.now_ms = START_MS + int(second * 1000)

    def ask(self) -> None:
        """Makes every slate that is waited for."""
        while self.meter.predict_next():
            pass

    def first_choice(self, user: str) -> str:
        """What serving would show in the first place now."""
        slate = recommend(stored_query(self.model, user, 10, self.deployment.now_ms))
        return self.model.catalogue.ids[slate.items[0].row]


@pytest.fixture
def metered(encoder: TransformerEncoder) -> Metered:
    return Metered(encoder)


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Counted:
    """What the counters have gone up by since."""

    def __init__(self) -> None:
        self.before = self._now()

    def _now(self) -> dict[str, float]:
        counters = ("freshet_live_judged_total", "freshet_live_skipped_total")
        found = [one for family in REGISTRY.collect() for one in family.samples if one.name in counters]
        return {next(iter(one.labels.values())): one.value for one in found}

    def since(self) -> dict[str, float]:
        gone_up = {name: value - self.before.get(name, 0) for name, value in self._now().items()}
        return {name: value for name, value in gone_up.items() if value}


async def test_what_was_ranked_first_and_is_chosen_next_counts_in_full(metered):
    metered.learn(*[interaction("u", f"i{n}", n) for n in range(5)])
    metered.at(10)
    metered.ask()
    counted = Counted()
    metered.learn(interaction("u", metered.first_choice("u"), 20))
    assert counted.since() == {"known": 1}
    for name in ("recall_at_10", "ndcg_at_10", "reciprocal_rank"):
        assert figure(f"freshet_live_{name}", slice="known") == 1.0


async def test_a_slate_that_knew_a_click_by_reading_ahead_is_not_judged_by_it(metered):
    metered.learn(interaction("u", "i1", 1), interaction("u", "i2", 2))
    metered.at(15)
    chosen = interaction("u", metered.first_choice("u"), 20)
    metered.model.apply_ahead(log_of([chosen], start=metered.deployment.offset))
    metered.ask()  # by the replica's clock before the click
    counted = Counted()
    metered.learn(chosen)
    assert counted.since() == {"after_event": 1}


async def test_an_item_that_was_seen_already_is_not_judged(metered):
    metered.learn(interaction("u", "i1", 1), interaction("u", "i2", 2))
    metered.at(10)
    metered.ask()
    counted = Counted()
    metered.learn(interaction("u", "i1", 20))
    assert counted.since() == {"seen": 1}


async def test_what_is_no_choice_or_no_item_is_not_judged(metered):
    metered.learn(interaction("u", "i1", 1))
    counted = Counted()
    for second, more in enumerate([("i2", "dislike"), ("i3", "impression"), ("gone", "click")]):
        metered.at(second + 2)
        metered.ask()
        metered.learn(interaction("u", more[0], second + 3, type=more[1]))
    assert counted.since() == {"no_item": 1}


async def test_a_slate_that_was_made_once_the_event_had_arrived_is_never_used(metered):
    metered.learn(interaction("u", "i1", 1))
    metered.at(20)
    metered.ask()
    counted = Counted()
    metered.learn(interaction("u", "i2", 20))
    assert counted.since() == {"after_event": 1}


async def test_a_slate_from_the_events_own_signals_is_never_used_whatever_the_clock_says(metered):
    metered.learn(interaction("u", "i1", 1))
    deployment = metered.deployment
    outcome = apply_interactions(deployment.state, log_of([interaction("u", "i2", 20)], start=deployment.offset), RULES)
    signals, profile = derived_records(outcome)
    metered.model.apply([signals])
    metered.at(10)  # a clock that is behind
    metered.ask()
    counted = Counted()
    metered.model.apply([profile])
    assert counted.since() == {"after_event": 1}


async def test_only_the_first_of_several_choices_is_judged(metered):
    metered.learn(interaction("u", "i1", 1))
    metered.at(10)
    metered.ask()
    counted = Counted()
    metered.learn(interaction("u", "i2", 20), interaction("u", "i3", 21))
    assert counted.since() == {"new": 1}


async def test_a_duplicate_changes_nothing_and_the_slate_stays(metered):
    first = interaction("u", "i1", 1, event_id="once")
    metered.learn(first)
    metered.at(10)
    metered.ask()
    counted = Counted()
    metered.learn(first)
    metered.learn(interaction("u", "i2", 20))
    assert counted.since() == {"new": 1}


@pytest.mark.parametrize(("made_at", "chosen_at", "arrived_at", "reason"), [
    (10, 10 + 1201, 10 + 1201, "old_slate"),
    (100, 39, 101, "late_event"),
])  # fmt: skip
async def test_a_slate_that_the_user_was_not_shown_is_not_judged(metered, made_at, chosen_at, arrived_at, reason):
    metered.learn(interaction("u", "i1", 1))
    metered.at(made_at)
    metered.ask()
    counted = Counted()
    late = log_of([interaction("u", "i2", chosen_at)], start=metered.deployment.offset)
    late = [replace(late[0], timestamp=START_MS + arrived_at * 1000)]
    metered.model.apply(derived_records(apply_interactions(metered.deployment.state, late, RULES)))
    assert counted.since() == {reason: 1}


async def test_somebody_unknown_is_judged_by_a_slate_from_before_they_came(metered):
    metered.learn(*[interaction(f"u{n}", "i7", n) for n in range(3)])
    for second in (10, 12, 16):  # the second is too soon after the first
        metered.at(second)
        metered.meter.renew_stranger()
    counted = Counted()
    metered.learn(interaction("newcomer", "i7", 15))  # between the two slates
    assert counted.since() == {"new": 1}
    assert figure("freshet_live_ndcg_at_10", slice="new") == 1.0
    metered.learn(interaction("early", "i7", 10))
    assert counted.since() == {"new": 1, "after_event": 1}


async def test_the_figures_are_those_of_the_offline_judge(encoder):
    """Every slate is asked for one millisecond before its event, so both look at the same state."""
    interactions = sittings()
    log = EventLog(
        FILMS, [msgspec.json.encode(one) for one in interactions], np.array([one.time_ms for one in interactions])
    )
    world = World(ServingSettings(live_meter_share=1.0, live_meter_per_second=1000.0), encoder.dimension)
    world.put_items(FILMS, encoder.encode([one.text() for one in FILMS]), encoder.version, START_MS)
    judge = Judge(world, log, None)
    now_ms = START_MS
    meter = LiveMeter(world.model, lambda: now_ms)
    world.model.live, world.model.watcher = True, meter
    counted = Counted()
    for at, one in enumerate(interactions):
        now_ms = one.time_ms - 1
        meter.renew_stranger()
        meter.predict_next()
        judge.step(at, judged=True)
    known = np.array(judge.cases.history) >= 5
    told = counted.since()
    assert (told["known"], told["new"]) == (known.sum(), (~known).sum())
    assert told["seen"] == len(interactions) - len(judge.cases.ranks) > 0
    for name, metric in (("recall_at_10", "recall@10"), ("ndcg_at_10", "ndcg@10"), ("reciprocal_rank", "mrr")):
        values = judge.cases.column(metric)
        assert 0 < values[known].mean() < 1
        assert figure(f"freshet_live_{name}", slice="known") == pytest.approx(values[known].mean())
        assert figure(f"freshet_live_{name}", slice="new") == pytest.approx(values[~known].mean())


def sittings() -> list[Interaction]:
    """Users one after the other, each of whom walks through a theme, strays now and then, and goes back once."""
    chance, found = random.Random(3), []
    for user in range(12):
        walk = [f"i{user % 3 + 3 * step}" for step in range(chance.randint(3, 9))]
        walk = [one if chance.random() < 0.7 else f"i{chance.randrange(30)}" for one in walk] + walk[:1]
        found += [(f"u{user}", one) for one in walk]
    return [interaction(user, item, 90 * at, event_id=f"e{at}") for at, (user, item) in enumerate(found, 1)]


async def test_the_replicas_task_asks_by_itself_and_ends(metered):
    meter = metered.meter
    await meter.start()
    await asyncio.sleep(0)
    metered.at(2)
    metered.learn(interaction("u", "i1", 1))
    for _ in range(200):
        if "u" in meter._ahead:
            break
        await asyncio.sleep(0.01)
    counted = Counted()
    metered.learn(interaction("u", "i2", 20))
    assert counted.since() == {"new": 1}
    await meter.stop()
    assert meter._task.done() and metered.model.watcher is None


async def test_a_share_of_0_does_nothing(encoder):
    deployment = Deployment(encoder, live_meter_share=0.0)
    await deployment.replica.meter.start()
    deployment.replica.model.live = True
    counted = Counted()
    deployment.learn(interaction("u", "i1", 1))
    assert deployment.replica.model.watcher is None and deployment.replica.meter._task is None
    assert not counted.since()
    await deployment.replica.meter.stop()


async def test_the_share_is_that_of_the_users_and_always_the_same_ones(encoder):
    meters = [Deployment(encoder, live_meter_share=0.05).replica.meter for _ in range(2)]
    followed = [{n for n in range(20_000) if meter.follows(f"user-{n}")} for meter in meters]
    assert followed[0] == followed[1]
    assert 0.04 < len(followed[0]) / 20_000 < 0.06


async def test_nothing_is_measured_while_the_replica_restores(metered):
    metered.model.live = False
    metered.meter.renew_stranger()
    metered.learn(interaction("u", "i1", 1))
    assert not metered.meter.predict_next() and not metered.meter._strangers


async def test_no_more_slates_a_second_are_made_than_the_settings_allow(encoder):
    metered = Metered(encoder, live_meter_per_second=2.0)
    counted = Counted()
    for at in range(5):
        metered.learn(interaction(f"u{at}", "i1", at))
    assert len(metered.meter._waiting) == 2 and counted.since() == {"no_slate": 5, "rate": 3}
    metered.at(1)
    metered.learn(interaction("u9", "i1", 9))
    assert len(metered.meter._waiting) == 3


async def test_the_queue_and_what_is_remembered_are_bounded(metered):
    meter = metered.model.watcher = LiveMeter(metered.model, lambda: START_MS, remembered=2, queued=3)
    counted = Counted()
    for at in range(5):
        metered.learn(interaction(f"u{at}", "i1", at))
    assert counted.since() == {"no_slate": 5, "queue_full": 2}
    while meter.predict_next():
        assert len(meter._ahead) <= 2
    assert list(meter._ahead) == ["u1", "u2"]


async def test_the_slate_of_a_user_who_is_gone_is_forgotten(metered):
    metered.learn(interaction("u", "i1", 1))
    metered.ask()
    assert "u" in metered.meter._ahead
    metered.model.apply([LogRecord("user-profiles", 0, 9, 0, b"u", None)])
    assert not metered.meter._ahead


async def test_a_slate_that_fails_costs_its_own_judgement_only(metered, monkeypatch):
    def fail(query):
        raise RuntimeError("a bug")

    metered.learn(interaction("u", "i1", 1))
    counted = Counted()
    with monkeypatch.context() as broken:
        broken.setattr(live_meter, "recommend", fail)
        metered.ask()
    metered.learn(interaction("u", "i2", 2))
    assert counted.since() == {"failed": 1, "no_slate": 1}
    assert metered.meter._waiting


async def test_means_are_over_the_last_events_and_absent_before_the_first():
    means = Means("test")
    assert figure("freshet_live_judged_total", slice="test") == 0
    for rank in [0] * live_meter.WINDOW + [-1] * (live_meter.WINDOW // 2):
        means.add(rank)
    assert figure("freshet_live_recall_at_10", slice="test") == pytest.approx(0.5)

"""Click-through counts what was chosen of what was shown, per variant and scenario, and nothing twice."""

import pytest
from prometheus_client import REGISTRY

from domain.items import Item
from embeddings.transformer import TransformerEncoder
from serving.requests import RecommendRequest, answer
from serving.side_effects.click_through import SCENARIOS, WINDOW_MS, ClickThrough
from tests.builders import START_MS, Deployment, interaction

pytestmark = pytest.mark.anyio
FILMS = [Item(item_id=f"i{n}", title=f"a film about {n} robbers", published_at=1) for n in range(12)]


class Shop:
    """A replica that shows slates, and users who choose."""

    def __init__(self, encoder: TransformerEncoder, variant: str) -> None:
        self.variant = variant
        self.deployment = Deployment(encoder, variant=variant)
        self.deployment.put_items(*FILMS)
        self.deployment.replica.model.live = True
        self.at(0)

    def at(self, second: int) -> None:
        self.deployment.now_ms = START_MS + second * 1000

    async def show(self, user: str, scenario: str = "home", count: int = 5) -> list[str]:
        asked = RecommendRequest(user_id=user, count=count, scenario=scenario)
        return [one.item_id for one in (await answer(self.deployment.replica, asked)).items]

    def choose(self, user: str, item: str, second: int, type: str = "click") -> None:
        self.deployment.learn(interaction(user, item, second, type))

    def figures(self, scenario: str = "home") -> tuple[float, float]:
        labels = {"variant": self.variant, "scenario": scenario}
        names = ("freshet_items_shown_total", "freshet_items_chosen_total")
        shown, chosen = (REGISTRY.get_sample_value(name, labels) or 0.0 for name in names)
        return shown, chosen


@pytest.fixture
def shop(encoder: TransformerEncoder, request: pytest.FixtureRequest) -> Shop:
    return Shop(encoder, request.node.name[:60])


async def test_a_shown_item_that_is_chosen_counts_once_where_it_was_shown(shop):
    home, mail = await shop.show("u"), await shop.show("u", "mail", 3)
    assert shop.figures() == (5, 0) and shop.figures("mail") == (3, 0)
    only_home = next(one for one in home if one not in mail)
    for second in (10, 20):
        shop.choose("u", only_home, second)
    assert shop.figures() == (5, 1) and shop.figures("mail") == (3, 0)
    shop.choose("u", mail[0], 30)
    assert shop.figures() == (5, 1) and shop.figures("mail") == (3, 1)  # the newer slate of the two


async def test_what_was_not_shown_not_chosen_too_early_too_late_or_by_others_counts_nothing(shop):
    shown = await shop.show("u")
    shop.choose("u", next(one.item_id for one in FILMS if one.item_id not in shown), 10)
    shop.choose("u", shown[0], 11, "impression")
    shop.choose("u", shown[0], 12, "dislike")
    shop.choose("u", shown[1], -5)
    shop.choose("u", shown[2], WINDOW_MS // 1000 + 1)
    shop.choose("someone else", shown[3], 13)
    assert shop.figures() == (5, 0)
    shop.choose("u", shown[4], 14)
    assert shop.figures() == (5, 1)


async def test_a_choice_counts_for_one_slate_however_often_the_profile_comes(shop):
    shown = await shop.show("u")
    await shop.show("u", "mail", 12)
    shop.choose("u", shown[0], 10)
    for second in range(11, 15):
        shop.choose("u", "elsewhere", second)
    assert shop.figures()[1] + shop.figures("mail")[1] == 1


async def test_scenarios_beyond_the_first_share_one_name(shop):
    for n in range(SCENARIOS + 5):
        await shop.show("u", f"s{n}", 1)
    assert shop.figures(f"s{SCENARIOS - 1}")[0] == 1 and shop.figures(f"s{SCENARIOS}")[0] == 0
    assert shop.figures("other")[0] == 5


async def test_only_so_many_users_are_remembered_and_who_is_erased_is_not(shop):
    small = shop.deployment.replica.model.click_through = ClickThrough(shop.deployment.replica.model.types, users=2)
    slates = {user: await shop.show(user) for user in ("a", "b", "c")}
    assert list(small._readers) == ["b", "c"]
    for second, (user, shown) in enumerate(slates.items()):
        shop.choose(user, shown[0], 10 + second)
    assert shop.figures() == (15, 2)
    small.applied("b", shop.deployment.state.profile("nobody"))
    assert list(small._readers) == ["c"]

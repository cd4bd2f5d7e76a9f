"""What the benches feed in: a made-up catalogue and history with a long tail, always the same for the same seed.

The items are film titles with year and genres put together from lists of words; the history is simulated:
nobody's behaviour is in it, only its shape (a few users and items have most of the events).
"""

import random
from collections.abc import Iterator

from domain.interactions import Interaction
from domain.items import Item

DAY_MS = 86_400_000
ADJECTIVES = "Dark Silent Golden Last Broken Hidden Little Crimson Endless Lonely Electric Secret Frozen Wild"
NOUNS = "River Station Winter Garden Detective Empire Promise Stranger Orchestra Island Mirror Machine Harbor"
PLACES = "Paris Tokyo Midnight Sea Desert Moon North Casablanca Rome Mountains Suburbs Border Castle Harlem"
FORMS = ("The {a} {n}", "{n} of the {p}", "{a} {n} in {p}", "{n}", "A {a} {n} from the {p}", "{p}, {a} {p2}")
GENRES = (
    "action adventure animation children comedy crime documentary drama fantasy horror musical mystery"
    " romance sci-fi thriller war western"
)
TYPES = {"view": 60, "click": 25, "cart": 5, "like": 5, "purchase": 3, "dislike": 2}
"""How many of a hundred interactions are of each type."""

HISTORY_DAYS = 30
CATALOGUE_DAYS = 730


def titles(count: int, seed: int = 42) -> list[str]:
    """Returns made-up titles with year and genres, 11 tokens on average."""
    return [f"{title} {' '.join(kinds)}" for title, kinds in _films(count, seed)]


def items(count: int, now_ms: int, seed: int = 42) -> list[Item]:
    """Returns a catalogue: ids item-0, item-1 ..., published over the last two years."""
    chance = random.Random(seed)
    return [
        Item(
            item_id=item_id(at),
            title=title,
            categories=kinds,
            published_at=now_ms - chance.randrange(CATALOGUE_DAYS * DAY_MS),
        )
        for at, (title, kinds) in enumerate(_films(count, seed))
    ]


def interactions(  # noqa: PLR0917
    count: int, users: int, item_count: int, now_ms: int, name: str = "user", seed: int = 42
) -> Iterator[Interaction]:
    """Yields a history over the last thirty days, ascending in time, ids NAME-0, NAME-1 ... for its users.

    The item at rank r is drawn in proportion to 1 / (10 + r), the user to 1 / (100 + r): with 2,000 of both,
    the first item has 2 % of all events, the busiest user twenty times the events of the quietest.
    """
    chance = random.Random(seed)
    started_ms = now_ms - HISTORY_DAYS * DAY_MS
    drawn = zip(
        chance.choices(range(users), [1 / (100 + rank) for rank in range(users)], k=count),
        chance.choices(range(item_count), [1 / (10 + rank) for rank in range(item_count)], k=count),
        chance.choices(list(TYPES), list(TYPES.values()), k=count),
        strict=True,
    )
    for at, (user, item, kind) in enumerate(drawn):
        yield Interaction(
            event_id=f"{name}-{seed}-{at}",
            type=kind,
            user_id=f"{name}-{user}",
            item_id=item_id(item),
            event_time=started_ms + at * HISTORY_DAYS * DAY_MS // count,
        )


def item_id(rank: int) -> str:
    """The id of the item at a rank of popularity."""
    return f"item-{rank}"


def _films(count: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    chance = random.Random(seed)
    adjectives, nouns, places, genres = (words.split() for words in (ADJECTIVES, NOUNS, PLACES, GENRES))
    for _ in range(count):
        words = {"a": chance.choice(adjectives), "n": chance.choice(nouns), "p": chance.choice(places)}
        title = chance.choice(FORMS).format(**words, p2=chance.choice(places))
        kinds = chance.sample(genres, chance.choice((1, 1, 2, 2, 3)))
        yield f"{title} ({chance.randint(1930, 1998)})", kinds

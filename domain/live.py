"""What a replica tells of this very moment: GET /v1/live, behind the live page.

Counts go up from the replica's start, as in /metrics; whoever asks twice has the rates.
"""

import msgspec


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram: `counts[i]` values were at most `bounds_s[i]` seconds, above the bound before; one more: beyond."""

    bounds_s: list[float]
    counts: list[int]
    sum_s: float


class RouteTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one route that ended with one status; route `shed`: refused at the door, not even begun."""

    route: str
    status: str
    times: Times


class SliceQuality(msgspec.Struct, frozen=True, kw_only=True):
    """The live meter's means of one slice of the users; all 0 before anything was judged."""

    judged: int
    recall_at_10: float
    ndcg_at_10: float
    reciprocal_rank: float


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A record of `interactions`. `place` is `partition@offset`; `type` is "unreadable" for what cannot be decoded."""

    place: str
    arrived_ms: int
    type: str
    user_id: str
    item_id: str
    title: str


class LiveLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record of `dead-letters`; `origin` is `topic partition@offset` of the record that was refused."""

    place: str
    failed_ms: int
    reason: str
    detail: str
    origin: str


class LogEnds(msgspec.Struct, frozen=True, kw_only=True):
    """What Kafka said at `read_ms`.

    `interactions` and `dead_letters` count the records there are. `waiting` counts what the workers have not
    committed, at most a commit interval's records more than they have not done; null if the broker does not say.
    Lists are the newest first.
    """

    read_ms: int
    interactions: int
    dead_letters: int
    waiting: int | None
    events: list[LiveEvent]
    letters: list[LiveLetter]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A replica now. `log` is null until Kafka has been asked, which begins with the first look, and while it is away.

    `replica` is another one for each process: behind a load balancer, looks reach several. `quality` is by the
    live meter's slices: `new` users and `known` ones.
    """

    now_ms: int
    replica: str
    ready: bool
    stale: bool
    lag_records: int
    holds: dict[str, int]
    variant: str
    models: dict[str, str]
    freshness: Times
    requests: list[RouteTimes]
    slates: int
    quality: dict[str, SliceQuality]
    log: LogEnds | None

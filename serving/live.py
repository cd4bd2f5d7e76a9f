"""What a replica tells of this very moment, put together when it is asked for: nothing is collected in between."""

import re
from collections import defaultdict
from secrets import token_hex

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from domain.live import Live, LiveEvent, LiveLetter, LogEnds, RouteTimes, SliceQuality, Times
from domain.log_reader import Record
from domain.topics import DEAD_LETTERS, INTERACTIONS
from serving import metrics
from serving.catalogue import Catalogue
from serving.log_ends import Ends
from serving.read_model import summary
from serving.replica import Replica

REPLICA = token_hex(4)
"""Tells this process's counts from another's."""

SLICES = ("new", "known")
"""The live meter's."""

TEXT_LIMIT = 200
"""Characters of a text that others wrote and nobody has checked."""


class _Line(msgspec.Struct):
    """What a page shows of an interaction, valid or not."""

    type: str = "unreadable"
    user_id: str = ""
    item_id: str = ""


def live_of(replica: Replica) -> Live:
    """Returns the replica as it is now. Asking is a look: from the first on, the log's ends are read for a while."""
    follower, model = replica.follower, replica.model
    ends = replica.tail.look()
    return Live(
        now_ms=replica.clock(),
        replica=REPLICA,
        ready=follower.ready.is_set(),
        stale=follower.stale,
        lag_records=follower.lag,
        holds=summary(model),
        variant=model.settings.variant,
        models=model.models.versions(),
        freshness=_times(metrics.freshness)[()],
        requests=_requests(),
        slates=int(sum(_values(metrics.slates, "_total").values())),
        quality=_quality(),
        log=None if ends is None else _log(ends, model.catalogue),
    )


def _requests() -> list[RouteTimes]:
    found = _times(metrics.request_seconds)
    return [RouteTimes(route=route, status=status, times=times) for (route, status), times in found.items()]


def _times(histogram: Histogram) -> dict[tuple[str, ...], Times]:
    """The histogram of each combination of labels, in the order in which they first came."""
    bounds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    upto: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for sample in next(iter(histogram.collect())).samples:
        if sample.name.endswith("_bucket"):
            at = tuple(value for name, value in sample.labels.items() if name != "le")
            bounds[at].append(float(sample.labels["le"]))
            upto[at].append(int(sample.value))
    sums = _values(histogram, "_sum")
    return {
        at: Times(
            bounds_s=bounds[at][:-1],
            counts=[one - before for before, one in zip([0, *upto[at]], upto[at], strict=False)],
            sum_s=sums[at],
        )
        for at in upto
    }


def _values(metric: Counter | Gauge | Histogram, suffix: str = "") -> dict[tuple[str, ...], float]:
    """The values of one kind of sample, by its labels' values."""
    found = next(iter(metric.collect()))
    return {tuple(one.labels.values()): one.value for one in found.samples if one.name == found.name + suffix}


def _quality() -> dict[str, SliceQuality]:
    judged = _values(metrics.live_judged, "_total")
    gauges = [_values(one) for one in (metrics.live_recall, metrics.live_ndcg, metrics.live_rank)]
    told = {name: [one.get((name,), 0.0) for one in gauges] for name in SLICES}
    return {
        name: SliceQuality(
            judged=int(judged.get((name,), 0)), recall_at_10=recall, ndcg_at_10=ndcg, reciprocal_rank=rank
        )
        for name, (recall, ndcg, rank) in told.items()
    }


def _log(ends: Ends, catalogue: Catalogue) -> LogEnds:
    return LogEnds(
        read_ms=ends.read_ms,
        interactions=ends.counts[INTERACTIONS],
        dead_letters=ends.counts[DEAD_LETTERS],
        waiting=ends.waiting,
        events=[_event(record, catalogue) for record in ends.newest[INTERACTIONS]],
        letters=[_letter(record) for record in ends.newest[DEAD_LETTERS]],
    )


def _event(record: Record, catalogue: Catalogue) -> LiveEvent:
    try:
        line = msgspec.json.decode(record.value or b"", type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        line = _Line()
    row = catalogue.rows.get(line.item_id)
    return LiveEvent(
        place=f"{record.partition}@{record.offset}",
        arrived_ms=record.timestamp,
        type=line.type[:TEXT_LIMIT],
        user_id=line.user_id[:TEXT_LIMIT],
        item_id=line.item_id[:TEXT_LIMIT],
        title="" if row is None else catalogue.title(row)[:TEXT_LIMIT],
    )


def _letter(record: Record) -> LiveLetter:
    said = {name: raw.decode("utf-8", "backslashreplace")[: 2 * TEXT_LIMIT] for name, raw in record.headers if raw}
    failed_ms = said.get("failed_at", "")
    return LiveLetter(
        place=f"{record.partition}@{record.offset}",
        failed_ms=int(failed_ms) if re.fullmatch("[0-9]{1,14}", failed_ms) else record.timestamp,
        reason=said.get("reason", "unknown"),
        detail=said.get("detail", ""),
        origin=f"{said.get('topic', '?')} {said.get('partition', '?')}@{said.get('offset', '?')}",
    )

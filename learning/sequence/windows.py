"""A log of interactions, cut into windows and batches that a transformer can be trained on."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

REMEMBERED = 1_000
"""A user's newest items that are known as touched: what one question may cost is bounded."""


class Log(NamedTuple):
    """All users' interactions, one user after the other, each ascending in time.

    Attributes:
        rows: (E,) int64, rows of the item table.
        times_ms: (E,) int64, epoch milliseconds.
        bounds: (U + 1,) int64: user u has the events from bounds[u] to bounds[u + 1].
    """

    rows: Ints
    times_ms: Ints
    bounds: Ints


class Windows(NamedTuple):
    """Pieces of a log; each (W,) int64, as positions in it.

    Attributes:
        start: the first event that is looked at.
        first: the first event after which something is predicted.
        end: behind the last such event; what follows it is at most `end`.
        head: the user's first event.
    """

    start: Ints
    first: Ints
    end: Ints
    head: Ints


class Batch(NamedTuple):
    """Windows side by side, all (B, T); padded at their ends with their first events.

    Attributes:
        at: positions in the log.
        rows: items that were touched.
        times_ms: when.
        nows_ms: when the next one was touched: the moment of the question.
        counts: interactions of the user up to here, this one included.
        asked: bool: whether what comes next is predicted here; never in the padding.
    """

    at: Ints
    rows: Ints
    times_ms: Ints
    nows_ms: Ints
    counts: Ints
    asked: NDArray[np.bool_]


def flatten(sequences: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]) -> Log:
    """Returns the log of each user's (item rows, times in ms). A clock that jumps back is held still."""
    lengths = [len(rows) for rows, _ in sequences]
    held = [np.maximum.accumulate(np.asarray(times, np.int64)) for _, times in sequences if len(times)]
    rows = [np.asarray(rows, np.int64) for rows, _ in sequences if len(rows)]
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if not rows:
        return Log(np.zeros(0, np.int64), np.zeros(0, np.int64), bounds)
    return Log(np.concatenate(rows), np.concatenate(held), bounds)


def cut(log: Log, length: int, stride: int, since_ms: int | None = None, shift: Ints | None = None) -> Windows:
    """Cuts each user's events into windows of at most `length`, of which the newest `stride` predict.

    Args:
        log: the interactions.
        length: the most events of a window.
        stride: 1 to `length`; the events of a window beyond it are context only.
        since_ms: predict only what happens at or after this moment; everything if None.
        shift: (U,) in 0..stride - 1: moves each user's cuts, so that they differ from pass to pass.
    """
    head, tail = log.bounds[:-1], log.bounds[1:] - 1
    begin = head
    if since_ms is not None:
        before = np.concatenate([[0], np.cumsum(log.times_ms < since_ms)])
        begin = np.maximum(head, head + before[log.bounds[1:]] - before[head] - 1)
    origin = begin - (0 if shift is None else shift)
    pieces = np.maximum(-(-(tail - origin) // stride), 0)
    user = np.repeat(np.arange(len(head)), pieces)
    at = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = np.maximum(origin[user] + at * stride, begin[user])
    end = np.minimum(origin[user] + (at + 1) * stride, tail[user])
    kept = end > first
    user, first, end = user[kept], first[kept], end[kept]
    return Windows(np.maximum(head[user], end - length), first, end, head[user])


def batches(windows: Windows, events: int, random: np.random.Generator) -> Iterator[Windows]:
    """Yields all windows in random order, alike in length, each batch with about `events` events, padding included."""
    lengths = windows.end - windows.start
    order = np.argsort(lengths + random.uniform(0, 8, len(lengths)), kind="stable")
    groups: list[list[int]] = []
    longest = 0
    for window in order.tolist():
        longest = max(longest, int(lengths[window]))
        if not groups or longest * (len(groups[-1]) + 1) > events:
            groups.append([])
            longest = int(lengths[window])
        groups[-1].append(window)
    for group in random.permutation(len(groups)):
        chosen = np.array(groups[group])
        yield Windows(*(column[chosen] for column in windows))


def collate(log: Log, windows: Windows) -> Batch:
    """Lays windows side by side."""
    lengths = windows.end - windows.start
    steps = np.arange(int(lengths.max()))
    live = steps < lengths[:, None]
    at = windows.start[:, None] + steps * live
    return Batch(
        at=at,
        rows=log.rows[at],
        times_ms=log.times_ms[at],
        nows_ms=log.times_ms[at + 1],
        counts=at - windows.head[:, None] + 1,
        asked=live & (at >= windows.first[:, None]),
    )


def touched(log: Log, batch: Batch) -> tuple[Ints, Ints]:
    """Returns what each user had touched, newest first, as pairs (question, item row); both (H,) int64.

    Questions are numbered in the order of `batch.asked`. At most the newest REMEMBERED.
    """
    at, counts = batch.at[batch.asked], np.minimum(batch.counts[batch.asked], REMEMBERED)
    question = np.repeat(np.arange(len(at)), counts)
    back = np.arange(len(question)) - np.repeat(np.cumsum(counts) - counts, counts)
    return question, log.rows[at[question] - back]


def ahead(log: Log, batch: Batch, count: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Returns the next `count` items of each question's user, (P, count), and which of them there are."""
    at = batch.at[batch.asked][:, None]
    tail = log.bounds[np.searchsorted(log.bounds, at, side="right")]
    following = at + np.arange(1, count + 1)
    return log.rows[np.minimum(following, tail - 1)], following < tail

"""How well a sequence model predicts the newest events, as replicas would: NumPy, live history, all unseen items."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.sequence.inference import SequenceEncoder

Ints = NDArray[np.int64]
Sequences = Sequence[tuple[Ints, Ints]]
"""Each user's (rows of the item table, epoch milliseconds), ascending in time."""

LEAST = 100
"""A tail of fewer events says too little about which of two models is better."""


class Tail(NamedTuple):
    """The events that models are judged on.

    Attributes:
        since_ms: they are dated then or later; what is older may be trained on.
        users: (E,) place of each event's user in the sequences.
        places: (E,) its place in the user's sequence; what lies before it is the history.
        fresh: whether the model it is compared with has seen none of it.
    """

    since_ms: int
    users: Ints
    places: Ints
    fresh: bool


def tail_of(sequences: Sequences, share: float, most: int, seen_until_ms: int | None = None) -> Tail:
    """Picks the newest events, evenly; those that continue a history with an item that is not in it.

    Args:
        sequences: each user's rows and times.
        share: of all events, at most so many are kept from training, the newest.
        most: events that are judged.
        seen_until_ms: a model to be compared with was trained up to then. What came later is the tail, where
            that is at least LEAST events: neither has seen them, and the comparison favours none.

    Returns:
        Empty arrays if there is nothing of the kind.
    """
    times = np.sort(np.concatenate([when for _, when in sequences] + [np.zeros(0, np.int64)]))
    if not len(times):
        return Tail(0, np.zeros(0, np.int64), np.zeros(0, np.int64), True)
    since_ms = int(np.quantile(times, 1 - share, method="higher"))
    fresh = seen_until_ms is None or since_ms > seen_until_ms
    if seen_until_ms is not None and not fresh:
        later = np.searchsorted(times, seen_until_ms, "right")
        if len(times) - later >= LEAST:
            since_ms, fresh = int(times[later]), True
    found = sorted(_new(sequences, since_ms))
    if len(found) > most:
        found = [found[at] for at in np.linspace(0, len(found) - 1, most).astype(np.int64)]
    columns = np.array(found, np.int64).reshape(-1, 3)
    return Tail(since_ms, columns[:, 1], columns[:, 2], fresh)


def before(sequences: Sequences, since_ms: int) -> list[tuple[Ints, Ints]]:
    """Returns the sequences up to a moment; users without anything before it stay, empty."""
    cut = [int(np.searchsorted(when, since_ms)) for _, when in sequences]
    return [(rows[:at], when[:at]) for (rows, when), at in zip(sequences, cut, strict=True)]


def ranks_in(encoder: SequenceEncoder, items: NDArray[np.float32], sequences: Sequences, tail: Tail) -> Iterator[int]:
    """Gives the rank of each item of the tail among all that its user had not touched; 0 is best.

    Args:
        encoder: the model.
        items: (N, M) float32 from `encoder.item_vectors`.
        sequences: each user's rows and times.
        tail: which events.

    Ties count against the model, as does a score that is not finite.
    """
    for user, place in zip(tail.users, tail.places, strict=True):
        rows, when = sequences[user]
        wanted, history = rows[place], rows[:place]
        expected = encoder.user_vector(items[history[-encoder.length :]], when[:place], int(when[place]))
        scores = items @ expected
        right = scores[wanted]
        scores[history] = -np.inf
        scores[wanted] = -np.inf
        yield int((scores >= right).sum()) if np.isfinite(right) else len(items)


def _new(sequences: Sequences, since_ms: int) -> Iterator[tuple[int, int, int]]:
    """Time, user and place of each event of the tail."""
    for user, (rows, when) in enumerate(sequences):
        first = int(np.searchsorted(when, since_ms))
        known = set(rows[:first].tolist())
        for place in range(first, len(rows)):
            if known and int(rows[place]) not in known:
                yield int(when[place]), user, place
            known.add(int(rows[place]))

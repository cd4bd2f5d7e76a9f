"""The two ways in which peers are asked: before each event in turn, or about the last event of each user."""

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bench.quality_peers.answers import Answers, rank_of
from bench.quality_peers.counting import Popularity
from bench.quality_peers.log import Log, Question, questions
from bench.quality_peers.peer import Peer

HALF_LIFE_EVENTS = 5_000
"""Of the popularity that equal scores go by."""


def prequential(peer: Peer, log: Log, first: int) -> list[tuple[Question, int]]:
    """Ranks each event from `first` on, before it is learned from."""
    popularity, answers = Popularity(HALF_LIFE_EVENTS), []
    popularity.fit(log.where(slice(first)))
    asked = questions(log, range(first, len(log)))
    refit = peer.refit or len(asked)
    with tqdm(total=len(asked), desc=type(peer).__name__, unit="event", leave=False, mininterval=1) as bar:
        for start in range(0, len(asked), refit):
            peer.fit(log.where(slice(first + start)))
            for begin in range(start, min(start + refit, len(asked)), peer.block):
                block = asked[begin : min(begin + peer.block, start + refit)]
                found = peer.scores([one.user for one in block], [one.history for one in block])
                for one, row in zip(block, found, strict=True):
                    if one.item not in one.history:
                        answers.append((one, rank_of(one, row, popularity.counts)))
                    popularity.learn(one)
                    peer.learn(one)
                bar.update(len(block))
    return answers


def last_one(peer: Peer, log: Log, lasts: NDArray[np.bool_]) -> list[tuple[Question, int]]:
    """Ranks the events marked, one a user, after learning from all others."""
    known, popularity = log.where(~lasts), Popularity(HALF_LIFE_EVENTS)
    popularity.fit(known)
    peer.fit(known)
    asked = [one for one in questions(log, np.flatnonzero(lasts)) if one.item not in one.history]
    answers = []
    for begin in tqdm(range(0, len(asked), peer.block), desc=type(peer).__name__, leave=False, mininterval=1):
        block = asked[begin : begin + peer.block]
        found = peer.scores([one.user for one in block], [one.history for one in block])
        answers += [(one, rank_of(one, row, popularity.counts)) for one, row in zip(block, found, strict=True)]
    return answers


def lasts_of(log: Log) -> NDArray[np.bool_]:
    """Marks the last event of each user that has more than one."""
    last = {user: event for event, user in enumerate(log.users.tolist())}
    counts = np.bincount(log.users)
    marked = np.zeros(len(log), bool)
    marked[[event for user, event in last.items() if counts[user] > 1]] = True
    return marked


def measure(peer: Peer, log: Log, protocol: str, last: int) -> Answers:
    """Runs a peer through a protocol."""
    started = time.process_time()
    if protocol == "prequential":
        first = len(log) - last
        held = (np.arange(len(log)) >= first - first // 16) & (np.arange(len(log)) < first)
        answers = prequential(peer, replace(log, held=held), first)
    else:
        lasts = lasts_of(log)
        held = np.zeros(len(log), bool)
        held[np.flatnonzero(~lasts)[lasts_of(log.where(~lasts))]] = True
        answers = last_one(peer, replace(log, held=held), lasts)
    asked, ranks = zip(*answers, strict=True)
    return Answers(
        event=np.array([one.event for one in asked]),
        user=log.names[[one.user for one in asked]],
        rank=np.array(ranks),
        past=np.array([len(one.history) for one in asked]),
        seconds=time.process_time() - started + peer.spent_before,
    )

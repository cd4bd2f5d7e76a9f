"""How good slates are: ranking quality against what users went on to do, and what the slates do to a catalogue.

The judge calls these. Ranks and places count from 0; every metric is higher for better, but `gini`, where 0 is
an even spread of exposure. `per_event` is for one relevant item at a time (predict the next event), `per_list`
for many (a temporal hold-out), `over_slates` for all slates of a configuration together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HEAD_SHARE = 0.8
"""The most popular items that have this share of all interactions are the head, the others the long tail (Pareto)."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def per_event(ranks: Rows, k: int) -> dict[str, Floats]:
    """Returns each metric of each event, each (E,): `recall`, `ndcg`, `hit` of the first k, `mrr` of the whole list.

    Args:
        ranks: (E,) the rank of the event's item in the list that was made before the event; -1: not in it.
        k: how long the list is that a user sees.
    """
    return {"recall": hit(ranks, k), "ndcg": ndcg(ranks, k), "hit": hit(ranks, k), "mrr": reciprocal_rank(ranks)}


def hit(ranks: Rows, k: int) -> Floats:
    """Returns 1 where the item is among the first k, else 0; (E,). With one relevant item this is recall@k too.

    Source: Deshpande & Karypis, Item-based top-N recommendation algorithms, ACM TOIS 22(1), 2004: hit rate.
    """
    return ((ranks >= 0) & (ranks < k)).astype(np.float64)


def ndcg(ranks: Rows, k: int) -> Floats:
    """Returns 1 / log2(rank + 2) where the item is among the first k, else 0; (E,). The ideal gain is 1.

    Source: as `list_ndcg`.
    """
    return hit(ranks, k) / np.log2(np.maximum(ranks, 0) + 2.0)


def reciprocal_rank(ranks: Rows) -> Floats:
    """Returns 1 / (rank + 1), and 0 where the item is in no place; (E,). Their mean is the MRR.

    Source: Voorhees, The TREC-8 question answering track report, 1999.
    """
    return np.where(ranks >= 0, 1.0 / (np.maximum(ranks, 0) + 1.0), 0.0)


def auc(ranks: Rows, candidates: Rows, unseen: Rows) -> Floats:
    """Returns for each event the share of the other unseen items that are ranked below the right one: (E,) float64.

    The area under the ROC curve of a single positive (Hanley & McNeil, Radiology 143(1), 1982); 0.5 by chance. An
    item that was no candidate shares the middle of what was not retrieved. 1 where there was nothing else.

    Args:
        ranks: (E,) 0-based; -1 for an item that was not retrieved.
        candidates: (E,) how many were ranked.
        unseen: (E,) how many items could have been.
    """
    place = np.where(ranks >= 0, ranks, (candidates + np.maximum(unseen - 1, candidates)) / 2)
    shares: Floats = np.where(unseen > 1, 1 - place / np.maximum(unseen - 1, 1), 1.0)
    return shares


def per_list(ranked: Rows, relevant: Rows, k: int) -> dict[str, float]:
    """Returns the metrics of one list: `recall`, `ndcg` and `hit` of its first k, `mrr` of the whole of it.

    Args:
        ranked: (R,) distinct rows, best first.
        relevant: (T,) distinct rows that are right, in any order.
        k: how long the list is that a user sees.

    Returns:
        Without anything relevant all are 0; leave such a list out of a mean, as trec_eval does.
    """
    gains = np.isin(ranked, relevant)
    return {
        "recall": list_recall(gains, len(relevant), k),
        "ndcg": list_ndcg(gains, len(relevant), k),
        "hit": float(gains[:k].any()),
        "mrr": 1.0 / (1.0 + int(np.argmax(gains))) if gains.any() else 0.0,
    }


def list_recall(gains: NDArray[np.bool_], relevant: int, k: int) -> float:
    """Returns the share of the relevant items that is among the first k; 0 if none is relevant.

    Source: Manning, Raghavan & Schütze, Introduction to information retrieval, 2008, section 8.3; trec_eval `recall`.
    """
    return float(gains[:k].sum()) / relevant if relevant else 0.0


def list_ndcg(gains: NDArray[np.bool_], relevant: int, k: int) -> float:
    """Returns the sum of 1 / log2(rank + 2) over the hits of the first k, over the most that it could be.

    Source: Järvelin & Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002, binary
    gains, with the discount of trec_eval's `ndcg_cut`, which begins at the second place. 0 if none is relevant.
    """
    discounts = 1.0 / np.log2(np.arange(2.0, k + 2.0))
    ideal = float(discounts[:relevant].sum())
    return float(discounts[: len(gains)][gains[:k]].sum()) / ideal if ideal else 0.0


def over_slates(slates: Sequence[Rows], interactions: Rows, catalogue: int) -> dict[str, float]:
    """Returns `coverage`, `gini`, `novelty_bits` and `long_tail` of all slates together; all 0 without slates.

    Args:
        slates: each (n,) rows, as they were shown.
        interactions: (N,) how many interactions each row has had; N may exceed `catalogue` by rows out of sale.
        catalogue: how many items could have been shown.
    """
    shown = np.concatenate([*slates, np.empty(0, np.int64)])
    exposures = np.bincount(shown, minlength=len(interactions))
    return {
        "coverage": coverage(exposures, catalogue),
        "gini": gini(exposures, catalogue),
        "novelty_bits": novelty(shown, interactions),
        "long_tail": long_tail(shown, interactions),
    }


def coverage(exposures: Rows, catalogue: int) -> float:
    """Returns the share of the catalogue that was shown to anybody at all, 0..1.

    Source: Ge, Delgado-Battenfeld & Jannach, Beyond accuracy, RecSys 2010, eq. 2: catalog coverage.
    """
    return float((exposures > 0).sum()) / catalogue if catalogue else 0.0


def gini(exposures: Rows, catalogue: int) -> float:
    """Returns how unevenly items are shown: 0 is evenly, (n - 1) / n all to one of the n items of the catalogue.

    Half the relative mean difference, sum over i, j of |x_i - x_j| / (2 n sum(x)), computed as
    sum over i of (2 i - n - 1) x_i / (n sum(x)) with x ascending and i from 1. Items never shown count. 0 if nothing
    was shown. Source: Fleder & Hosanagar, Blockbuster culture's next rise or fall, Management Science 55(5), 2009.
    """
    shown = np.sort(exposures[exposures > 0]).astype(np.float64)
    places = np.arange(catalogue - len(shown) + 1, catalogue + 1)  # the others have 0 and come before
    total = float(shown.sum()) * catalogue
    return float(((2.0 * places - catalogue - 1.0) * shown).sum()) / total if total else 0.0


def novelty(shown: Rows, interactions: Rows) -> float:
    """Returns the mean self-information of the shown items in bits: -log2 of an item's share of the interactions.

    An item without interactions counts as if it had one, so that it is the most novel and not infinitely so.
    Source: Zhou et al., Solving the apparent diversity-accuracy dilemma, PNAS 107(10), 2010: surprisal.
    """
    known = np.maximum(interactions, 1).astype(np.float64)
    return float(-np.log2(known[shown] / known.sum()).mean()) if len(shown) else 0.0


def long_tail(shown: Rows, interactions: Rows) -> float:
    """Returns the share of the shown items that lie outside the head, 0..1. HEAD_SHARE says what the head is.

    The item with which the head reaches its share belongs to it; of equals the lower row is the more popular.
    Source: Abdollahpouri, Burke & Mobasher, Managing popularity bias, FLAIRS 2019 (arXiv:1901.07555), APLT; over all
    places that were shown, which for slates of one length is their mean over slates.
    """
    order = np.argsort(-interactions, kind="stable")
    before = np.cumsum(interactions[order]) - interactions[order]
    tail = np.ones(len(interactions), np.bool_)
    tail[order[(before < HEAD_SHARE * interactions.sum()) & (interactions[order] > 0)]] = False
    return float(tail[shown].mean()) if len(shown) else 0.0

"""Makes what can be counted visible before it happens: a rate needs the zero before the first one."""

from domain.settings import ServingSettings
from domain.topics import INTERACTIONS, ITEMS, USERS
from serving import metrics
from serving.filters import FILTERS
from serving.read_model import FOLLOWED
from serving.sources import SOURCES

NOT_JUDGED = (
    *("after_event", "old_slate", "late_event", "no_slate", "no_item", "seen"),
    *("queue_full", "rate", "failed"),
)
"""Why the live meter leaves choices out."""


def from_zero(settings: ServingSettings) -> None:
    """Gives each counter the labels that are known beforehand."""
    for source in SOURCES:
        metrics.candidates.labels(source)
        for how in ("failed", "late"):
            metrics.source_failures.labels(source, how)
    for name in FILTERS:
        metrics.removed.labels(name)
    metrics.request_seconds.labels("shed", "503")
    for fallback in ("none", "trending"):
        metrics.slates.labels(fallback)
    for topic in FOLLOWED:
        metrics.refused_records.labels(settings.topic(topic))
    for name in ("ranker", "sequence"):
        metrics.model_refused.labels(name)
    for kind in settings.all_interaction_types():
        metrics.events.labels(INTERACTIONS, "accepted", kind)
    for topic in (INTERACTIONS, ITEMS, USERS):
        metrics.events.labels(topic, "refused", "unknown")
    for reason in NOT_JUDGED:
        metrics.live_skipped.labels(reason)

"""A record that cannot be read is said, counted and passed over."""

import logging

from domain.log_reader import Record
from serving import metrics

log = logging.getLogger(__name__)


def refused(record: Record, error: Exception) -> None:
    """Says and counts a record of a followed topic that is not ours."""
    metrics.refused_records.labels(record.topic).inc()
    log.warning("%s/%d@%d: %s", record.topic, record.partition, record.offset, error)

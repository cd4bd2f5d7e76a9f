"""Every error Freshet raises on purpose, in one tree.

FreshetError
├── ConfigError           a setting is missing, wrong or unsafe; the message names it and the remedy
├── EventError            an event, item or user record that cannot be used
│   ├── MalformedEvent    not JSON, or a field is missing or out of bounds
│   │   └── OtherVersion  written by another version of Freshet, in a shape that this one does not read
│   ├── UnknownEventType  `type` or `version` that this deployment does not know
│   └── FutureEvent       `event_time` lies more than five minutes ahead of its arrival
├── EmbeddingError        the text encoder cannot be used
│   ├── ModelUnavailable  the model's files cannot be found or read
│   └── DimensionMismatch a vector of another width than the index holds
├── AnnIndexError         the nearest-neighbour index cannot be used
│   └── SnapshotCorrupt   a saved index or snapshot is damaged, truncated or of another format
├── BrokerUnavailable     Kafka did not answer in time
├── DeliveryError         Kafka refused an event, or its delivery could not be confirmed
├── TopicError            a topic is missing or has the wrong shape; the message says what to run
├── QueryError            a request asks for something out of bounds
├── UnknownItem           no item of that id is in the catalogue
└── ServingError          the HTTP API answered with a problem; carries its status and detail
    └── ServingUnavailable  the HTTP API did not answer at all; its status is 0
"""


class FreshetError(Exception):
    """Base of all errors that Freshet raises on purpose."""


class ConfigError(FreshetError):
    """A setting is missing, wrong or unsafe. Operator: change the setting that the message names."""


class EventError(FreshetError):
    """A record that cannot be used; on the stream it goes to the dead letters with this message."""

    reason = "invalid"


class MalformedEvent(EventError):
    """Not JSON, or a field is missing, of the wrong type or out of bounds."""

    reason = "malformed"


class OtherVersion(MalformedEvent):
    """Written by a version of Freshet that meant another thing. Operator: do what the message says."""


class UnknownEventType(EventError):
    """A `type` or `version` that this deployment does not know. Operator: see FRESHET_INTERACTION_TYPES."""

    reason = "unknown_type"


class FutureEvent(EventError):
    """`event_time` lies more than five minutes ahead of the record's arrival. Operator: check its clock."""

    reason = "future"


class EmbeddingError(FreshetError):
    """The text encoder cannot be used."""


class ModelUnavailable(EmbeddingError):
    """The model's files cannot be found or read. Operator: check FRESHET_EMBEDDING_MODEL."""


class DimensionMismatch(EmbeddingError):
    """A vector has another width than the index holds."""


class AnnIndexError(FreshetError):
    """The nearest-neighbour index cannot be used."""


class SnapshotCorrupt(AnnIndexError):
    """A saved index or snapshot is damaged, truncated or of another format. It is rebuilt by itself."""


class BrokerUnavailable(FreshetError):
    """Kafka did not answer in time. Operator: check FRESHET_BOOTSTRAP_SERVERS and the broker."""


class DeliveryError(FreshetError):
    """Kafka refused an event, or its delivery could not be confirmed."""


class TopicError(FreshetError):
    """A topic is missing or has the wrong shape. Operator: run what the message says."""


class QueryError(FreshetError):
    """A request asks for something out of bounds; the message names the field and the bound."""


class UnknownItem(FreshetError):
    """No item of that id is in the catalogue."""


class ServingError(FreshetError):
    """The HTTP API answered with a problem.

    Attributes:
        status: the HTTP status code.
        detail: what the server said, or the answer's first characters.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.detail = detail


class ServingUnavailable(ServingError):
    """The HTTP API did not answer: nothing listens there, or it took too long. Its status is 0."""

    def __init__(self, detail: str) -> None:
        super().__init__(0, detail)

    def __str__(self) -> str:
        return self.detail


def without_frames(error: EventError) -> EventError:
    """Returns an error that may be kept: the frames it came through hold what was in hand there, a whole batch."""
    error.__context__ = None
    return error.with_traceback(None)

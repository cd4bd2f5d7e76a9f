"""Creates the topics and checks their shape. kafka-python's admin client only; knows nothing of Faust."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from domain.errors import BrokerUnavailable, TopicError
from domain.settings import KafkaSettings
from domain.topics import DERIVED, TOPICS, TopicSpec, faults

BOOTSTRAP_TIMEOUT_MS = 10_000
REMEDY = "run: freshet topics create"
_POLICY = "cleanup.policy"


@dataclass(frozen=True)
class BrokerTopics:
    """What a broker says of the topics that this deployment needs, by full name.

    `configs` has no entry for a topic whose clean-up policy the broker does not report.
    """

    partitions: Mapping[str, int]
    configs: Mapping[str, Mapping[str, str]]


def specs_of(settings: KafkaSettings) -> tuple[TopicSpec, ...]:
    """The topics of this deployment, under their full names."""
    return tuple(replace(spec, name=settings.topic(spec.name)) for spec in TOPICS)


def create_topics(settings: KafkaSettings, new_generation: bool = False) -> list[str]:
    """Creates the topics that are missing and returns their names; those that exist are left alone.

    Args:
        settings: which topics, and their shape.
        new_generation: whether FRESHET_GENERATION may name one that does not exist. Only a replay makes one:
            a misspelt name would give empty topics, and workers that read the log anew.

    Raises:
        BrokerUnavailable: no broker answered.
        TopicError: the generation is unknown, or the broker refused to create a topic.
    """
    with administrator(settings) as admin:
        existing = _partitions(admin, settings)
        if not new_generation:
            _refuse_unknown_generation(settings, existing)
        missing = [spec for spec in specs_of(settings) if spec.name not in existing]
        if not missing:
            return []
        answer = admin.create_topics({spec.name: _wanted(spec, settings) for spec in missing}, raise_errors=False)
        created = [topic["name"] for topic in answer["topics"] if _is_created(topic)]
        admin.wait_for_topics([spec.name for spec in missing], timeout_ms=BOOTSTRAP_TIMEOUT_MS)
        return created


def check_topics(settings: KafkaSettings) -> None:
    """Returns if all topics have the shape that this deployment needs.

    Raises:
        BrokerUnavailable: no broker answered.
        TopicError: listing every fault and what to run.
    """
    found = describe_topics(settings)
    _refuse_unknown_generation(settings, found.partitions)
    wrong = faults(specs_of(settings), found.partitions, found.configs, settings.partitions)
    if wrong:
        raise TopicError("\n".join((*wrong, REMEDY)))


def describe_topics(settings: KafkaSettings) -> BrokerTopics:
    """Asks the broker for the shape of this deployment's topics; a topic that is missing is left out.

    Raises:
        BrokerUnavailable: no broker answered.
    """
    with administrator(settings) as admin:
        partitions = _partitions(admin, settings)
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in partitions]
        # "all": the embedded broker calls every value a default, and the usual filter leaves those out.
        found = admin.describe_configs(resources, config_filter="all") if resources else {}
        policies = {
            name: values[_POLICY]["value"] for name, values in found.get("topic", {}).items() if _POLICY in values
        }
        return BrokerTopics(partitions, {name: {_POLICY: value} for name, value in policies.items()})


def _refuse_unknown_generation(settings: KafkaSettings, existing: Mapping[str, int]) -> None:
    missing = [settings.topic(name) for name in DERIVED if settings.topic(name) not in existing]
    if settings.generation and missing:
        raise TopicError(
            f"generation {settings.generation!r} does not exist: there is no topic {missing[0]}."
            f" Correct FRESHET_GENERATION, or make it: FRESHET_GENERATION= freshet replay --into {settings.generation}"
        )


def topic_ids(settings: KafkaSettings) -> dict[str, str]:
    """Returns the broker's own id of each of this deployment's topics that exists; one created again has another.

    Raises:
        BrokerUnavailable: no broker answered, or one that does not know the topics yet.
    """
    with administrator(settings) as admin:
        described = admin.describe_topics([spec.name for spec in specs_of(settings)])
    existing = [one for one in described if one["error_code"] != UnknownTopicOrPartitionError.errno]
    for topic in existing:
        if topic["error_code"]:
            raise BrokerUnavailable(f"topic {topic['name']}: {for_code(topic['error_code']).__name__}")
    return {topic["name"]: str(topic["topic_id"]) for topic in existing}


@contextmanager
def administrator(settings: KafkaSettings) -> Iterator[Any]:
    """Opens a KafkaAdminClient and closes it at the end.

    Raises:
        BrokerUnavailable: no broker answered, or it refused what was asked.
    """
    where = f"Kafka at {settings.bootstrap_servers}"
    admin = None
    try:
        admin = KafkaAdminClient(**settings.kafka_options(), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS)
        yield admin
    except KafkaError as error:
        raise BrokerUnavailable(f"{where}: {error}. Is it running? See FRESHET_BOOTSTRAP_SERVERS") from None
    finally:
        if admin is not None:
            admin.close()


def _partitions(admin: Any, settings: KafkaSettings) -> dict[str, int]:  # noqa: ANN401 - kafka-python has no types
    described = admin.describe_topics([spec.name for spec in specs_of(settings)])
    return {topic["name"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


def _wanted(spec: TopicSpec, settings: KafkaSettings) -> dict[str, Any]:
    return {
        "num_partitions": spec.partitions or settings.partitions,
        "replication_factor": settings.replication_factor,
        "configs": spec.config(),
    }


def _is_created(topic: Mapping[str, Any]) -> bool:
    """Whether this call created the topic; another process may have been faster."""
    error = for_code(topic["error_code"])
    if topic["error_code"] and error is not TopicAlreadyExistsError:
        raise TopicError(f"topic {topic['name']} was not created: {error.__name__}: {topic['error_message']}")
    return not topic["error_code"]

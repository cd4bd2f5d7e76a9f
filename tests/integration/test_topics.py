"""Topics are created once, left alone afterwards, and a wrong shape is named with its remedy."""

import pytest
from kafka.admin import KafkaAdminClient

from cli.broker import free_port
from domain.errors import BrokerUnavailable, TopicError
from domain.settings import KafkaSettings, load_settings
from domain.topics import MODELS, TOPICS, faults
from stream import topic_admin
from stream.topic_admin import check_topics, create_topics, describe_topics, specs_of


def test_creating_twice_creates_once_and_the_check_is_content(overrides: dict[str, object]) -> None:
    settings = load_settings(KafkaSettings, **overrides)
    assert set(create_topics(settings)) == {settings.topic(spec.name) for spec in TOPICS}
    assert create_topics(settings) == []
    check_topics(settings)


def test_every_topic_has_the_wanted_partitions_and_models_have_one(settings: KafkaSettings) -> None:
    partitions = dict(describe_topics(settings).partitions)
    assert partitions.pop(settings.topic(MODELS)) == 1
    assert set(partitions.values()) == {settings.partitions}


def test_the_broker_reports_the_clean_up_policies_that_were_asked_for(settings: KafkaSettings) -> None:
    configs = describe_topics(settings).configs
    assert configs == {spec.name: {"cleanup.policy": spec.cleanup_policy} for spec in specs_of(settings)}


def test_missing_topics_are_listed_with_what_to_run(overrides: dict[str, object]) -> None:
    settings = load_settings(KafkaSettings, **overrides)
    with pytest.raises(TopicError, match="run: freshet topics create") as refused:
        check_topics(settings)
    for spec in specs_of(settings):
        assert f"topic {spec.name} is missing" in str(refused.value)


def test_a_topic_of_another_shape_is_named_and_left_alone(overrides: dict[str, object]) -> None:
    settings = load_settings(KafkaSettings, **overrides)
    items = settings.topic("items")
    admin = KafkaAdminClient(**settings.kafka_options())
    wrong = {"num_partitions": 2, "replication_factor": 1, "configs": {"cleanup.policy": "delete"}}
    admin.create_topics({items: wrong}, wait_for_metadata=True)
    admin.close()
    assert items not in create_topics(settings)
    with pytest.raises(TopicError) as refused:
        check_topics(settings)
    assert str(refused.value).splitlines() == [
        f"topic {items} has 2 partitions, not 4; delete it or change FRESHET_PARTITIONS",
        f"topic {items} has cleanup.policy=delete, not compact; alter it on the broker",
        "run: freshet topics create",
    ]


def test_a_policy_that_the_broker_does_not_report_is_not_judged() -> None:
    partitions = {spec.name: spec.partitions or 4 for spec in TOPICS}
    assert faults(TOPICS, partitions, {}, 4) == []
    assert faults(TOPICS, partitions, {"items": {"cleanup.policy": "delete"}}, 4) != []


def test_no_broker_is_one_error_that_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_admin, "BOOTSTRAP_TIMEOUT_MS", 300)
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=nowhere):
        check_topics(load_settings(KafkaSettings, bootstrap_servers=nowhere))

"""Off-policy estimates from the topics of a real broker are those from files with the same records."""

import pytest
from kafka import KafkaProducer

from cli.broker import free_port
from cli.off_policy import run_off_policy
from domain.errors import BrokerUnavailable, TopicError
from domain.settings import KafkaSettings
from domain.topics import EXPOSURES, INTERACTIONS
from tests.unit.test_off_policy import files


@pytest.fixture
def environment(overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))


def test_the_topics_tell_the_same_as_files(settings: KafkaSettings, environment, tmp_path, capsys) -> None:
    paths = files(tmp_path)
    producer = KafkaProducer(**settings.kafka_options(), acks="all")
    for topic, path in zip((EXPOSURES, INTERACTIONS), paths, strict=True):
        for at, line in enumerate(path.read_bytes().splitlines()):
            producer.send(settings.topic(topic), key=b"%d" % at, value=line)
    producer.send(settings.topic(EXPOSURES), key=b"u", value=b"oops")
    producer.send(settings.topic(INTERACTIONS), key=b"u", value=None)
    producer.close()
    assert run_off_policy() == run_off_policy(*paths)
    out, err = capsys.readouterr()
    assert out.startswith("40 items shown in 20 slates, 10 taken up")
    assert "1 exposures left out that cannot be read" in err


def test_a_missing_topic_is_named_with_what_to_run(environment) -> None:
    with pytest.raises(TopicError, match="exposures is missing; run: freshet topics create"):
        run_off_policy()


def test_no_broker_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable, match="Is it running"):
        run_off_policy()

"""Settings: a wrong one is refused by its name, and no secret is ever shown."""

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from cli.settings import all_settings, markdown
from domain.errors import ConfigError
from domain.settings import (
    SETTINGS,
    KafkaSettings,
    ServingSettings,
    StreamSettings,
    effective,
    is_loopback,
    load_settings,
)

KEY = "a-key-of-more-than-16-characters"


def test_defaults_need_no_environment() -> None:
    for kind in SETTINGS:
        assert load_settings(kind).bootstrap_servers == "127.0.0.1:9092"


def test_a_variable_is_read_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_PARTITIONS", "16")
    assert load_settings(KafkaSettings).partitions == 16
    assert load_settings(KafkaSettings, partitions=2).partitions == 2


@pytest.mark.parametrize("name", ["FRESHET_TOPC_PREFIX", "FRESHET_", "freshet_partition"])
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match=f"{name} is not a setting of Freshet; `freshet settings`"):
        load_settings(StreamSettings)


def test_another_process_setting_is_not_taken_for_a_misspelt_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_PROFILE_SIZE", "50")
    monkeypatch.setenv("FRESHET_PORT", "0")
    assert load_settings(StreamSettings).profile_size == 50
    assert load_settings(ServingSettings).port == 0


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (KafkaSettings, "PARTITIONS", "0"),
        (KafkaSettings, "TOPIC_PREFIX", "a b"),
        (KafkaSettings, "LOG_LEVEL", "LOUD"),
        (KafkaSettings, "INTERACTION_TYPES", '{"share": {"wait": 1}}'),
        (StreamSettings, "DEAD_LETTER_MAX_SHARE", "2"),
        (ServingSettings, "PORT", "70000"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, kind: type[KafkaSettings], name: str, value: str
) -> None:
    monkeypatch.setenv(f"FRESHET_{name}", value)
    with pytest.raises(ConfigError, match=f"FRESHET_{name}: "):
        load_settings(kind)


def test_json_that_cannot_be_read_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_INTERACTION_TYPES", "{share")
    with pytest.raises(ConfigError, match="FRESHET_INTERACTION_TYPES: not valid JSON"):
        load_settings(KafkaSettings)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_SASL_PASSWORD", KEY)
    monkeypatch.setenv("FRESHET_API_KEYS", f'["{KEY}"]')
    settings = load_settings(ServingSettings)
    for shown in (repr(settings), str(settings), repr(effective(settings)), settings.model_dump_json()):
        assert KEY not in shown


def test_no_secret_is_shown_in_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (f'["{KEY}"', f'{{"{KEY}": 1}}', f'[["{KEY}"]]'):
        monkeypatch.setenv("FRESHET_API_KEYS", wrong)
        with pytest.raises(ConfigError) as refused:
            load_settings(ServingSettings)
        assert KEY not in str(refused.value)


def test_an_open_address_without_keys_is_refused() -> None:
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org"):
        with pytest.raises(ConfigError, match=f"FRESHET_HOST={host} opens the API to the network without keys"):
            load_settings(ServingSettings, host=host).refuse_unsafe()
        load_settings(ServingSettings, host=host, api_keys=[KEY]).refuse_unsafe()


def test_loopback_needs_no_keys() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert is_loopback(host)
        load_settings(ServingSettings, host=host).refuse_unsafe()


def test_a_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="at least 16 characters") as refused:
        load_settings(ServingSettings, api_keys=["short-secret"]).refuse_unsafe()
    assert "short-secret" not in str(refused.value)


def test_the_options_are_ones_that_kafka_python_knows() -> None:
    settings = load_settings(KafkaSettings, security_protocol="SASL_SSL", sasl_username="u", sasl_password=KEY)
    for client in (KafkaProducer, KafkaConsumer, KafkaAdminClient):
        assert settings.kafka_options().keys() <= client.DEFAULT_CONFIG.keys()


def test_a_login_that_lacks_its_half_is_refused() -> None:
    with pytest.raises(ConfigError, match="SASL_PLAINTEXT needs FRESHET_SASL_USERNAME and FRESHET_SASL_PASSWORD"):
        load_settings(KafkaSettings, security_protocol="SASL_PLAINTEXT", sasl_username="u").kafka_options()


def test_a_certificate_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="FRESHET_SSL_CAFILE=/nowhere/ca.pem"):
        load_settings(KafkaSettings, security_protocol="SSL", ssl_cafile="/nowhere/ca.pem").kafka_options()


def test_several_servers_may_be_set_apart_with_spaces() -> None:
    options = load_settings(KafkaSettings, bootstrap_servers="a:1, b:2,").kafka_options()
    assert options["bootstrap_servers"] == ["a:1", "b:2"]


def test_the_table_has_every_setting_once_and_with_a_meaning() -> None:
    names = [one.name for one in all_settings()]
    assert len(names) == len(set(names))
    assert set(names) == {f"FRESHET_{name.upper()}" for kind in SETTINGS for name in kind.model_fields}
    assert all(one.meaning for one in all_settings())


def test_the_table_survives_markdown() -> None:
    rows = markdown().splitlines()
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)

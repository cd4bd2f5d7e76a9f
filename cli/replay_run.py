"""What `freshet replay` does, step by step."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from kafka.admin import KafkaAdminClient

from cli.kafka_clients import connected
from cli.progress import counted
from cli.replay_group import GenerationGroups
from cli.replay_plan import Plan, Wish, make_plan, time_text
from cli.state import hashes_of_topics
from domain.errors import ConfigError
from domain.settings import KafkaSettings, ServingSettings, StreamSettings, load_settings
from domain.topics import DERIVED
from embeddings.encoder import TextEncoder
from stream.log_spans import Span, SpanReader
from stream.replay import SOURCES, Replayed, Task, replay
from stream.topic_admin import check_topics, create_topics, describe_topics


@dataclass(frozen=True)
class Wanted:
    """What was asked for: settings of the generation in use and of the new one, bounds, and how to get vectors."""

    live: StreamSettings
    into: StreamSettings
    since: Wish = None
    until: Wish = None
    encode: bool = False

    def decisive(self) -> tuple[object, ...]:
        """All that decides what the replay comes to, besides the log."""
        types = sorted((name, repr(kind)) for name, kind in self.into.all_interaction_types().items())
        return (types, self.into.profile_size, self.into.embedding_model, self.since, self.until, self.encode)


def announce(wanted: Wanted) -> None:
    """Says what the replay would do.

    Raises:
        ConfigError: it cannot be done.
        BrokerUnavailable, TopicError: Kafka cannot be read.
    """
    with _prepared(wanted):
        pass


def rebuild(wanted: Wanted, encoder: Callable[[], TextEncoder] | None = None) -> Replayed:
    """Does the replay, or what is left of it, and lets the new generation's workers begin where it ended.

    Raises:
        ConfigError: it cannot be done.
        TooManyDeadLetters: most of the log cannot be used with these settings.
        ModelUnavailable: the text encoder cannot be loaded.
        BrokerUnavailable, TopicError: Kafka cannot be read.
    """
    with _prepared(wanted) as (plan, groups):
        create_topics(wanted.into, new_generation=True)
        begun = groups.replayed()
        groups.save({place: begun.get(place, span.start) for place, span in plan.spans.items()})
        spans = {one: Span(max(span.start, begun.get(one, 0)), span.stop) for one, span in plan.spans.items()}
        task = Task(wanted.live, wanted.into, spans, wanted.until is None, wanted.encode)
        loaded = (encoder or (lambda: _load_encoder(wanted.into)))()
        with counted("replaying", "records", sum(span.count for span in spans.values())) as advanced:
            done = asyncio.run(replay(task, loaded, groups.save, advanced))
        groups.hand_over({place: span.stop for place, span in plan.spans.items()})
    refused = ", ".join(f"{count:,} {reason}" for reason, count in done.refused.most_common()) or "none"
    typer.echo(f"Done; refused: {refused}; vectors taken over: {done.taken_over:,}.")
    return done


def compare(wanted: Wanted) -> None:
    """Prints the hashes of the state in use and of the new one."""
    live, new = (asyncio.run(hashes_of_topics(_serving(one))) for one in (wanted.live, wanted.into))
    typer.echo(f"{'':16} {'in use':16}  {wanted.into.generation[:16]}")
    for name, value in live.items():
        typer.echo(f"{name:16} {value}  {new[name]}  {'same' if value == new[name] else 'differs'}")
    if live != new and (wanted.since, wanted.until) == (None, None):
        typer.echo("They differ by what came meanwhile, by settings that have changed, or by what the state in use has")
        typer.echo("wrong. Without new events: stop the workers, let `freshet state hash` settle, replay once more.")


@contextmanager
def _prepared(wanted: Wanted) -> Iterator[tuple[Plan, GenerationGroups]]:
    """Finds out what to do, refuses what cannot be done, and says what is left."""
    check_topics(wanted.live)
    with connected(KafkaAdminClient, wanted.live) as admin:
        live = GenerationGroups(admin, wanted.live).read_by_workers()
        plan = asyncio.run(make_plan(wanted.live, live, wanted.since, wanted.until))
        groups = GenerationGroups(admin, wanted.into, wanted.decisive())
        begun = groups.replayed()
        _refuse_what_is_there(wanted.into, groups, bool(begun))
        for line in plan_lines(wanted, plan, bool(begun)):
            typer.echo(line)
        yield plan, groups


def _refuse_what_is_there(into: StreamSettings, groups: GenerationGroups, begun: bool) -> None:
    name = into.generation
    if groups.read_by_workers():
        raise ConfigError(
            f"generation {name!r} is complete: switch over with FRESHET_GENERATION={name}, or choose a new name"
        )
    derived = {into.topic(one) for one in DERIVED}
    existing = {one: count for one, count in describe_topics(into).partitions.items() if one in derived}
    if existing and not begun and asyncio.run(_hold_something(into, existing)):
        raise ConfigError(
            f"generation {name!r} holds something, and not from a replay like this one: it was begun with other"
            " settings or bounds, or more than a week ago. Choose a new name, or delete its topics"
        )


async def _hold_something(into: StreamSettings, topics: Mapping[str, int]) -> bool:
    async with SpanReader(into) as reader:
        bounds = [span for one, count in topics.items() for span in (await reader.bounds(one, count)).values()]
    return any(span.count for span in bounds)


def plan_lines(wanted: Wanted, plan: Plan, begun: bool) -> Iterator[str]:
    """Says what is to be done; `begun` if an earlier run was interrupted."""
    again = "; an earlier run was interrupted and this one goes on from there" if begun else ""
    yield f"From {_named(wanted.live)} into generation {wanted.into.generation!r}{again}."
    for name in SOURCES:
        yield f"{name:16} {plan.count(name):>12,} records at most"
    if plan.oldest_ms is not None:
        yield f"The oldest interaction arrived at {time_text(plan.oldest_ms)}."
    if plan.deleted:
        yield (
            f"WARNING: {plan.deleted:,} older interactions were deleted from the log (retention). What came from them"
            " is in the state in use, and cannot be rebuilt."
        )
    yield "To be written: " + ", ".join(wanted.into.topic(name) for name in DERIVED) + "."


def _named(settings: StreamSettings) -> str:
    return f"generation {settings.generation!r}" if settings.generation else "the first generation"


def _load_encoder(settings: StreamSettings) -> TextEncoder:
    from embeddings.transformer import TransformerEncoder

    return TransformerEncoder(settings.embedding_model, settings.torch_threads, settings.embedding_batch)


def _serving(settings: StreamSettings) -> ServingSettings:
    shared = {name: getattr(settings, name) for name in KafkaSettings.model_fields}
    return load_settings(ServingSettings, **shared)

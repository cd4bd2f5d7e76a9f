"""Model artefacts as records: whole or not at all, whatever order, gap, damage or compaction the log has."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.model_contents import ABANDONED_MS, KEPT, Contents, surplus
from domain.codecs import FORMAT, pack
from domain.errors import MalformedEvent, QueryError
from domain.model_shelf import OTHERS, Active, ModelShelf
from domain.models import CHUNK_BYTES, Manifest, Pointer, describe, join, moved, parse_key, records_of

START_MS = 1_700_000_000_000
Records = list[tuple[str, bytes | None]]


class Trainer:
    """Writes the log as the model store does: a pointer always follows the records of what it names."""

    def __init__(self, name: str = "sequence") -> None:
        self.name = name
        self.log: Records = []
        self.raws: dict[str, bytes] = {}
        self.manifests: list[Manifest] = []
        self.pointer: Pointer | None = None

    def publish(self, size: int = CHUNK_BYTES + 9, promote: bool = True) -> Records:
        number = len(self.manifests)
        raw = bytes([number + 1]) * size
        manifest = describe(self.name, raw, START_MS + number * 1000, {"ndcg@10": 0.1}, {}, "a test")
        self.manifests.append(manifest)
        self.raws[manifest.version] = raw
        return self.point(number) if promote else self.write(records_of(manifest, raw))

    def point(self, number: int) -> Records:
        manifest = self.manifests[number]
        self.pointer = moved(self.pointer, manifest.version, "promoted", START_MS)
        return self.write([*records_of(manifest, self.raws[manifest.version]), (self.name, pack(self.pointer))])

    def write(self, records: Records) -> Records:
        self.log += records
        return records

    def version(self, number: int) -> str:
        return self.manifests[number].version


def feed(shelf: ModelShelf, records: Records) -> list[Active]:
    return [active for key, raw in records if (active := shelf.put(key, raw))]


def versions(shown: list[Active]) -> list[str]:
    return [one.version for one in shown]


def test_an_artefact_comes_back_to_the_byte_with_its_manifest() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    (active,) = feed(shelf, trainer.publish(3_000_000))
    assert active.raw == trainer.raws[active.version] and active.manifest == trainer.manifests[0]
    assert active.manifest.chunks == 4 and active.manifest.metrics == {"ndcg@10": 0.1}
    assert shelf.faults == {}


@pytest.mark.parametrize("size", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_every_record_fits_a_kafka_of_default_size_and_none_is_empty(size: int) -> None:
    records = Trainer().publish(size)
    assert all(raw and 0 < len(key) + len(raw) < 1_000_000 for key, raw in records)
    assert len(feed(ModelShelf(), records)) == 1


def test_nothing_is_active_before_the_pointer_and_no_version_but_the_pointers() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    assert feed(shelf, trainer.publish(promote=False)) == []
    assert versions(feed(shelf, trainer.publish())) == [trainer.version(1)]
    assert versions(feed(shelf, trainer.point(0))) == [trainer.version(0)]


def test_models_do_not_mix() -> None:
    ranker, sequence, shelf = Trainer("ranker"), Trainer(), ModelShelf()
    both = [one for pair in zip(ranker.publish(), sequence.publish(), strict=True) for one in pair]
    assert [(one.name, one.raw) for one in feed(shelf, both)] == [
        ("ranker", ranker.raws[ranker.version(0)]),
        ("sequence", sequence.raws[sequence.version(0)]),
    ]


@given(st.data())
@settings(max_examples=60)
def test_chunks_in_any_order_and_twice_end_at_the_pointers_version(data: st.DataObject) -> None:
    """Two trainers at once. A pointer comes in one batch with its manifest, and may come before the chunks."""
    trainer = Trainer()
    batches = [batch for _ in range(2) for *chunks, manifest, pointer in [trainer.publish()]
               for batch in [*([one] for one in chunks), [manifest, pointer]]]  # fmt: skip
    twice = data.draw(st.lists(st.sampled_from(batches), max_size=4))
    shelf = ModelShelf()
    shown = feed(shelf, [one for batch in data.draw(st.permutations(batches + twice)) for one in batch])
    assert shown[-1].version == trainer.version(1)
    assert all(one.raw == trainer.raws[one.version] for one in shown)
    assert shelf.faults == {}


MOVES = st.lists(st.integers(-3, 9), min_size=1, max_size=7)
"""Negative: publish and promote, publish only; else promote that one of the published."""


@given(MOVES, st.data())
@settings(max_examples=60)
def test_wherever_compaction_has_come_to_a_replica_that_starts_has_the_pointers_version(
    moves: list[int], data: st.DataObject
) -> None:
    trainer = Trainer()
    for move in moves:
        if move >= 0 and trainer.manifests:
            trainer.point(move % len(trainer.manifests))
        else:
            trainer.publish(promote=move != -1)
    cut = data.draw(st.integers(0, len(trainer.log)))
    last = {key: at for at, (key, _) in enumerate(trainer.log[:cut])}
    left = [one for at, one in enumerate(trainer.log[:cut]) if last[one[0]] == at] + trainer.log[cut:]
    shelf = ModelShelf()
    shown = feed(shelf, left)
    assert (versions(shown) or [None])[-1] == (trainer.pointer.version if trainer.pointer else None)
    assert feed(shelf, trainer.log) == [], "the same log again, after a reconnection"


def test_a_missing_chunk_leaves_the_old_version_and_says_which_is_missing() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    records = trainer.publish(3_000_000)
    assert feed(shelf, records[:2] + records[3:]) == []
    assert shelf.faults == {"sequence": f"sequence: {trainer.version(1)}: 1 of 4 chunks are missing: [2]"}
    assert versions(feed(shelf, records[2:3])) == [trainer.version(1)]
    assert shelf.faults == {}


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda raw: raw[:-1], "has 1,799,999 bytes, not the manifest's 1,800,000"),
        (lambda raw: b"\x00" + raw[1:], "the sha256 of its 1,800,000 bytes is not the manifest's"),
    ],
)
def test_a_damaged_chunk_leaves_the_old_version_until_the_right_one_comes(damage, fault: str) -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    (key, raw), *others = trainer.publish(2 * CHUNK_BYTES)
    assert feed(shelf, [(key, damage(raw)), *others]) == []
    assert fault in shelf.faults["sequence"]
    assert versions(feed(shelf, [(key, raw)])) == [trainer.version(1)]


def test_a_manifest_or_a_pointer_of_another_format_leaves_the_old_version() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    *chunks, manifest, pointer = trainer.publish()
    newer = b"\x02" + manifest[1][1:]
    assert feed(shelf, [*chunks, (manifest[0], newer), pointer]) == []
    assert "upgrade this reader" in shelf.faults["sequence"]
    assert feed(shelf, [("sequence", b"\x02" + pointer[1][1:])]) == []
    assert "Pointer: format byte" in shelf.faults["sequence"]
    assert feed(shelf, [("sequence", FORMAT + b"\xff")]) == []
    assert versions(feed(shelf, [manifest])) == [trainer.version(1)]


def test_a_manifest_under_another_versions_key_is_refused() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    manifest = trainer.publish(promote=False)[-1]
    feed(shelf, [("sequence/other", manifest[1])])
    assert f"the manifest is that of sequence/{trainer.version(0)}" in shelf.faults["sequence"]


def test_a_deleted_version_is_gone_and_what_is_active_stays() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    deleted = [(key, None) for key, _ in trainer.publish(promote=False)]
    assert feed(shelf, deleted) == []
    pointer = moved(trainer.pointer, trainer.version(1), "promoted", START_MS)
    assert feed(shelf, [("sequence", pack(pointer))]) == []
    assert "its manifest is missing" in shelf.faults["sequence"]


def test_a_deleted_pointer_says_what_to_run_and_the_next_promotion_counts() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    assert feed(shelf, [("sequence", None)]) == []
    assert "run: freshet models promote" in shelf.faults["sequence"]
    assert versions(feed(shelf, trainer.point(0))) == [trainer.version(0)]


def test_a_pointer_alone_to_what_was_shown_is_enough() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    feed(shelf, [("sequence", None)])
    again = moved(trainer.pointer, trainer.version(0), "promoted", START_MS)
    assert feed(shelf, [("sequence", pack(again))]) == []
    assert shelf.faults == {}


def test_promoting_the_active_version_again_shows_it_again() -> None:
    trainer, shelf = Trainer(), ModelShelf()
    feed(shelf, trainer.publish())
    assert versions(feed(shelf, trainer.point(0))) == [trainer.version(0)]


def test_the_shelf_holds_no_more_than_the_chunks_of_two_versions_and_none_of_what_it_gave_out() -> None:
    tracemalloc.start()
    try:
        trainer, shelf, size = Trainer(), ModelShelf(), 2_000_000
        for _ in range(8):
            raw = bytes(size)
            manifest = describe("sequence", raw, START_MS, {}, {}, str(len(trainer.manifests)))
            trainer.manifests.append(msgspec.structs.replace(manifest, version=f"v{len(trainer.manifests)}"))
            feed(shelf, records_of(trainer.manifests[-1], raw))
        del raw
        assert tracemalloc.get_traced_memory()[0] < (OTHERS + 0.5) * size
        trainer.raws = {one.version: bytes(size) for one in trainer.manifests[:1]}
        assert len(feed(shelf, trainer.point(0))) == 1
        trainer.raws.clear()
        trainer.log.clear()
        assert tracemalloc.get_traced_memory()[0] < 0.5 * size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "key", ["", "item", "sequence/", "sequence/v/1", "sequence/v/00001", "sequence/a b", "ranker/v/"]
)
def test_a_key_of_no_model_is_refused_by_name(key: str) -> None:
    with pytest.raises(MalformedEvent, match="is not of a model; known are ranker, sequence"):
        ModelShelf().put(key, b"")


def test_keys_say_what_they_name() -> None:
    assert parse_key("sequence/20261122T101500-1a2b3c4d/0012") == ("sequence", "20261122T101500-1a2b3c4d", 12)
    assert parse_key("ranker/v1") == ("ranker", "v1", None)
    assert parse_key("ranker") == ("ranker", None, None)


def test_versions_sort_by_the_time_they_were_made() -> None:
    made = [describe("ranker", b"%d" % n, START_MS + n * 60_000, {}, {}, "").version for n in range(300)]
    assert made == sorted(made) and made[0].startswith("20231114T221320-")


@pytest.mark.parametrize(("name", "raw"), [("rankr", b"x"), ("ranker", b"")])
def test_what_is_no_model_is_refused_before_it_is_sent(name: str, raw: bytes) -> None:
    with pytest.raises(QueryError, match="is not one of|has 1 to"):
        describe(name, raw, START_MS, {}, {}, "")


def test_a_pointer_remembers_where_it_came_from_and_its_time_only_grows() -> None:
    first = moved(None, "v1", "promoted", 1_000)
    second = moved(first, "v2", "promoted", 500)
    assert (second.previous, second.at_ms) == ("v1", 1_001)
    assert moved(second, "v2", "promoted", 2_000).previous == "v1"
    assert moved(second, "v1", "rolled back", 2_000).previous == "v2"


def test_joining_passes_over_chunks_that_the_manifest_does_not_count() -> None:
    manifest = describe("ranker", b"abc", START_MS, {}, {}, "")
    assert join(manifest, {0: b"abc", 1: b"d"}) == b"abc"


def contents(*trainers: Trainer, written_ms: int = START_MS) -> Contents:
    found = Contents()
    for trainer in trainers:
        for key, raw in trainer.log:
            found.put(key, raw, written_ms)
    return found


def test_the_newest_versions_the_active_and_the_previous_one_are_kept() -> None:
    trainer, other = Trainer(), Trainer("ranker")
    trainer.publish()
    trainer.publish()
    for _ in range(KEPT + 1):
        trainer.publish(promote=False)
    for _ in range(KEPT):
        other.publish(promote=False)
    found = contents(trainer, other)
    assert surplus(found, START_MS) == [f"sequence/{trainer.version(2)}"] + [
        f"sequence/{trainer.version(2)}/{number:04}" for number in range(2)
    ]
    for key in surplus(found, START_MS):
        found.put(key, None, START_MS)
    assert surplus(found, START_MS) == []
    assert len(found.versions("sequence")) == KEPT + 2 and len(found.versions()) == 2 * KEPT + 2
    assert all(one.is_whole() for one in found.versions())


def test_chunks_that_nobody_finished_are_deleted_after_a_day_and_a_newer_format_never() -> None:
    trainer = Trainer()
    *chunks, (key, manifest) = trainer.publish(promote=False)
    trainer.log = list(chunks)
    assert surplus(contents(trainer), START_MS + ABANDONED_MS) == []
    assert surplus(contents(trainer), START_MS + ABANDONED_MS + 1) == [key, *(chunk for chunk, _ in chunks)]
    trainer.log.append((key, b"\x02" + (manifest or b"")[1:]))
    assert surplus(contents(trainer), START_MS + ABANDONED_MS + 1) == []


def test_a_version_that_is_not_whole_cannot_be_had_and_the_error_names_those_that_can() -> None:
    trainer = Trainer()
    trainer.publish()
    trainer.publish(promote=False)
    trainer.log.pop()
    found = contents(trainer)
    for version, why in ((trainer.version(1), "is not whole"), ("v9", "is not on the topic")):
        with pytest.raises(QueryError, match=f"{version} {why}; there is {trainer.version(0)}"):
            found.whole("sequence", version)

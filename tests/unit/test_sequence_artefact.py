"""A model's bytes are the model, or a clear error."""

import msgspec
import numpy as np
import pytest

from domain.errors import FreshetError
from learning.sequence.artefact import Artefact, Facts, ModelUnusable, read_artefact
from learning.sequence.config import SequenceConfig

FACTS = Facts(ndcg=0.1, events=10, from_ms=1, until_ms=2, steps=3)


def artefact() -> Artefact:
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((4, 5)).astype(np.float32) for name in ("residual", "text", "a", "b")}
    return Artefact(SequenceConfig(width=4), ["x", "y", "é", "z"], weights, FACTS)


def test_what_is_written_is_read():
    read = read_artefact(artefact().told({"interactions": {"0": 17}}).to_bytes())
    assert (read.config, read.item_ids) == (SequenceConfig(width=4), ["x", "y", "é", "z"])
    assert read.facts.source == {"interactions": {"0": 17}} and read.facts.ndcg == 0.1
    assert all(np.allclose(read.weights[name], array, atol=2e-3) for name, array in artefact().weights.items())


def test_the_same_model_gives_the_same_bytes_and_version():
    assert artefact().to_bytes() == artefact().to_bytes()
    assert read_artefact(artefact().to_bytes()).version == artefact().version


def test_any_difference_is_another_version():
    weights = {name: array.copy() for name, array in artefact().weights.items()}
    weights["a"][0, 0] += 1
    others = [
        msgspec.structs.replace(artefact(), weights=weights),
        msgspec.structs.replace(artefact(), item_ids=["x", "y", "é", "w"]),
        msgspec.structs.replace(artefact(), config=SequenceConfig(width=4, seed=1)),
        artefact().told({"offset": 1}),
    ]
    assert len({other.version for other in others} | {artefact().version}) == 5


@pytest.mark.parametrize("raw", [b"", b"{}", b"\0" * 100, b"\xff" * 100, (2).to_bytes(8, "little") + b"{}"])
def test_what_is_no_model_is_refused(raw):
    with pytest.raises(ModelUnusable, match="train"):
        read_artefact(raw)


def test_a_truncated_model_is_refused_wherever_it_ends():
    raw = artefact().to_bytes()
    for end in range(0, len(raw), 7):
        with pytest.raises(ModelUnusable):
            read_artefact(raw[:end])


def test_a_model_with_one_byte_changed_is_refused_or_reads_the_same():
    raw, same = artefact().to_bytes(), artefact().version
    for at in range(len(raw)):
        damaged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        try:
            assert read_artefact(damaged).version == same  # white space between JSON's tokens
        except ModelUnusable:
            pass


def test_another_format_is_refused_and_named():
    with pytest.raises(ModelUnusable, match="format 2"):
        read_artefact(artefact().to_bytes().replace(b'\\"format\\":1', b'\\"format\\":2'))


def test_what_half_precision_cannot_hold_is_held_at_its_limit():
    huge = msgspec.structs.replace(artefact(), weights={"text": np.array([[1e30, -1e30]], np.float32)})
    assert np.isfinite(read_artefact(huge.to_bytes()).weights["text"]).all()


def test_the_error_is_one_of_freshet():
    assert issubclass(ModelUnusable, FreshetError)

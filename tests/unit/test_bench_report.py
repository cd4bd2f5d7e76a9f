"""Bench reports: every figure beside its peer, nothing lost between the file and the summary."""

import json
from pathlib import Path

import pytest

from bench import report, summary
from bench.report import Figure, percentile, results, table
from bench.workload import interactions, items, titles

BESIDE = Figure("worker_events_per_second", 12_345.6, "1/s", "stock_faust_agent", 10_000.0)
ALONE = Figure("bytes_written_per_event", 199.5, "bytes")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_a_ratio_is_the_figure_over_the_one_beside_it_and_there_is_none_without_one() -> None:
    assert BESIDE.ratio == pytest.approx(1.23456)
    assert ALONE.ratio is None
    assert Figure("x", 1.0, "", "nothing_measured", 0.0).ratio is None


def test_a_table_has_a_line_for_each_figure_and_its_columns_stand_below_each_other() -> None:
    head, first, second = table([BESIDE, ALONE]).splitlines()
    assert first.split() == ["worker_events_per_second", "12,346", "1/s", "stock_faust_agent", "10,000", "1.235"]
    assert second.split() == ["bytes_written_per_event", "200", "bytes"]
    assert head.index("beside") == first.index("stock_faust_agent")


def test_a_report_is_written_with_its_machine_and_command_and_read_again_as_it_was(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.report("ingest", [BESIDE, ALONE], "python -m bench.ingest")
    written = json.loads((folder / "ingest.json").read_text())
    assert written["command"] == "python -m bench.ingest"
    assert written["machine"]["cores"] >= 1 and written["machine"]["memory_gib"] > 0
    assert written["figures"][0]["beside"] == {"name": "stock_faust_agent", "value": 10_000.0}
    assert results() == {"ingest": [BESIDE, ALONE]}
    assert capsys.readouterr().out.strip() == table([BESIDE, ALONE])


def test_the_summary_is_one_table_over_all_results_and_says_what_to_do_without_any(
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary.main()
    assert "make bench" in capsys.readouterr().out
    report.report("ingest", [BESIDE], "a")
    report.report("freshness", [ALONE], "b")
    capsys.readouterr()
    summary.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["figure", "freshness:", "ingest:"]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    assert percentile(list(range(1, 301)), 0.99) == 297
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_what_the_benches_feed_in_is_the_same_every_time_and_has_a_long_tail() -> None:
    now = 1_700_000_000_000
    history = list(interactions(5_000, 200, 200, now))
    assert history == list(interactions(5_000, 200, 200, now))
    assert titles(20) == titles(20) and items(20, now) == items(20, now)
    assert len({one.event_id for one in history}) == 5_000
    assert [one.time_ms for one in history] == sorted(one.time_ms for one in history) and history[-1].time_ms < now
    counts = sorted((sum(one.item_id == item.item_id for one in history) for item in items(200, now)), reverse=True)
    assert sum(counts[:20]) > sum(counts[100:]) and counts[0] > 5 * counts[-1]

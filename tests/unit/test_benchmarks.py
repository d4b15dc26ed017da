"""The rows of the benchmarks: what counts as reached, and how they are shown. That each benchmark runs is shown by their quick mode."""

import json
import subprocess
import sys

import numpy as np
import pytest
from presets import ROOT

with (
    pytest.MonkeyPatch.context() as patch
):  # importing them takes all threads but one from this process, and so from those that other tests start
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        patch.setenv(variable, "1")
    from benchmarks.cost_model import Job, makespan
    from benchmarks.interleaved import AT_MOST, Bench, Row, measure
    from benchmarks.memory import added
    from benchmarks.table import draw, markdown

FASTER = Row("reading", 120.0, 90.0, 130.0, aim=100.0, detail={"peer, pairs a second": 1234.5})
SLOWER = Row("planning", 2.0, 1.9, 2.2, aim=1.5, sense=AT_MOST)
PLAIN = Row("memory", 13.0, 13.0, 13.0, unit="MB")


@pytest.mark.parametrize(("row", "reached"), [(FASTER, True), (SLOWER, False), (PLAIN, None)])
def test_a_row_knows_whether_its_aim_is_reached(row, reached):
    assert row.reached is reached


def test_a_quick_row_judges_nothing():
    assert Row("reading", 120.0, 90.0, 130.0, aim=100.0, quick=True).reached is None


def test_the_table_shows_aim_spread_and_what_is_behind():
    text = markdown([FASTER, SLOWER, PLAIN], {"processor": "some, 2 cores", "torch": "2"})
    assert "| reading | at least 100 x | 120 x (90 to 130) | reached |" in text
    assert "| planning | at most 1.5 x | 2 x (1.9 to 2.2) | **missed** |" in text
    assert "| memory |  | 13 MB | – |" in text
    assert "- reading: peer, pairs a second: 1,234" in text


def test_the_picture_puts_every_aim_on_one_line():
    axes = draw([FASTER, SLOWER, PLAIN]).axes[0]
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1}
    assert points == {0: pytest.approx(1.2), 1: pytest.approx(0.75)}


def test_sides_are_measured_in_turns():
    calls, ticks = [], iter(range(100))
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = measure(sides, 3, clock=lambda: next(ticks))
    assert "".join(calls) == "ab" + 3 * "ab"
    assert {name: list(values) for name, values in seconds.items()} == {"a": [1, 1, 1], "b": [1, 1, 1]}


def test_a_ratio_is_of_work_done_not_of_calls(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(tmp_path / "rows.json")])
    bench = Bench("A benchmark.", rounds=2)
    bench.compare("ours", {"peer": np.array([2.0, 4.0]), "ours": np.array([1.0, 1.0])}, units={"peer": 1, "ours": 2}, unit="images", aim=5)
    bench.close()
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["value"], row["least"], row["most"]) == (6.0, 4.0, 8.0)
    assert row["detail"]["ours, images a second"] == 2.0


def test_memory_is_that_of_the_call_alone():
    megabytes = added(bytearray, 64 << 20)
    assert 55 < megabytes < 90


def test_cards_take_the_ready_job_with_most_behind_it():
    jobs = {"short": Job(1.0), "long": Job(4.0), "first": Job(2.0), "then": Job(3.0, ["first"]), "last": Job(1.0, ["then", "short"])}
    assert makespan(jobs, 1) == sum(job.seconds for job in jobs.values()) == 11
    # Two cards: first and long begin, then follows first, short follows long, and last waits for both.
    assert makespan(jobs, 2) == 6
    assert makespan(jobs, 64) == 6  # the longest road: first, then, last


def test_an_unknown_benchmark_is_told():
    command = [sys.executable, "-m", "benchmarks", "unet_trainig"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "there is no benchmark unet_trainig; there are unet_training," in found.stderr

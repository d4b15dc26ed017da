"""What state tells of a file and of its cost, over entries written here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from lineage_fixtures import CPU, ROW, STATE, STORE, chain, finish, forge, planned, told_of, write_road

from satsynth.reporting import lineage as lines
from satsynth.reporting.explanation import made
from satsynth.reporting.lineage import Chain, Lineage
from satsynth.reporting.provenance import Used, cost, origins, total, used, without_times
from satsynth.runtime import files, state


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def road():
    return write_road()


def test_the_chain_of_a_file_holds_every_job_once_back_to_the_raw_data(road):
    found = chain(road)
    assert [record.rule for record in found.records] == ["tabulate", "train", "train", "tile"] and found.unknown == []
    assert lines.real_data(found.records) == {STORE: files.sha256(STORE)}
    assert lines.seeds(found.records) == {"tabulate": [5], "tile": [3], "train": [0, 1]}
    assert lines.devices(found.records) == ["CPU", "Pretend GPU"]


def test_an_input_that_was_made_anew_since_is_not_taken_for_the_one_that_was_read(road):
    read = next(record for record in chain(road).records if record.wildcards == {"seed": "0"})
    finish("train", "results/run-0.json", "another run 0", [STORE], wildcards={"seed": "0"}, cfg={"rate": 0.2})
    assert read in chain(road).records and len(chain(road).records) == 4


def test_inputs_whose_state_is_gone_are_told_and_no_error(road):
    for path in STATE.glob("tile/*/manifest.json"):
        path.unlink()
    found = chain(road)
    assert len(found.records) == 3 and found.unknown == [STORE]
    assert "1 files come from jobs that state does not know" in origins({"gain": found}, {})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', '{"files": {"x": 1}}'])
def test_damaged_state_is_left_out(road, text):
    next(STATE.glob("tile/*/manifest.json")).write_text(text)
    next(STATE.glob("tabulate/*/provenance.json")).write_text(text)
    found = Lineage(STATE)
    assert found.maker(STORE) is None
    assert found.maker(road).facts == {} and made(road, found)


def test_of_jobs_that_made_the_same_bytes_the_one_whose_file_lies_there_is_named():
    first = finish("tabulate", "results/t.csv", "same", code={"a.py": "1"})
    second = finish("tabulate", "results/t.csv", "same", code={"a.py": "2"})
    assert Lineage(STATE).maker("results/t.csv").folder == second
    state.State(STATE, "tabulate", first.name).restore([Path("results/t.csv")])
    assert Lineage(STATE).maker("results/t.csv").folder == first


@pytest.mark.parametrize("anew", [True, False], ids=["a new file", "in its place"])
def test_a_file_that_was_changed_has_no_maker_and_is_told_so(road, anew):
    before, kept = files.sha256(road), next(STATE.glob("tabulate/*/outputs/results/gain.csv"))
    forge(road, "9,9", anew=anew)
    found, now = Lineage(STATE), files.sha256(road)
    assert kept.samefile(road) != anew and found.maker(road) is None and found.edit(road).now == now != before
    head, *told = made(road, found)
    assert head.startswith(f"{road} was changed after tabulate wrote it (SHA-256 {before[:12]} then, {now[:12]} now).")
    assert f"SHA-256 {before}" in told and f"SHA-256 {now}" not in told
    fate, changes, words = told_of(road, planned(road))
    assert (fate, changes) == ("stays", []) and words.startswith("It would not, although what it made was changed afterwards.")
    assert ("Delete it and run again: it comes back from state" in words) == anew
    assert ("it is computed again, since state has no whole copy of it" in words) != anew


def test_state_whose_copies_were_changed_gives_nothing_back(road):
    forge(road, "9,9", anew=False)
    Path(road).unlink()
    fate, changes, words = told_of(road, planned(road, runs=True))
    assert (fate, [kind for kind, _ in changes]) == ("computed", ["outputs", "state"])
    assert "its entry in state was changed since, so it is computed again" in words and "in seconds" not in words


def test_what_follows_work_that_must_be_done_again_waits_for_it(road):
    forge("results/run-0.json", "9", anew=False)
    Path("results/run-0.json").unlink()
    jobs = planned(road, runs=True)
    jobs[1] = replace(jobs[1], runs=True)
    assert told_of(road, jobs)[0] == "follows"


def test_of_files_with_one_content_the_link_counts_only_while_the_content_stands(road):
    forge(road, "9,9", anew=False)
    second = finish("tabulate", "results/gain.csv", "9,9", cfg={"bootstrap_seed": 6})
    Path(road).unlink()
    first = next(path for path in STATE.glob("tabulate/*") if path != second)
    Path(road).hardlink_to(first / "outputs" / road)  # bytes as the second job wrote them, in the place of the first
    assert Lineage(STATE).maker(road).folder == second


def test_changed_inputs_are_told_with_the_table_that_they_belong_to(road):
    forge("results/run-1.json", "by hand", anew=False)
    words = told_of(road, planned(road, runs=True))[2]
    assert words.startswith("Yes: tabulate would run") and "input results/run-1.json has another content" in words
    assert "results/run-1.json was changed after train seed=1 wrote it" in words and words.count("Snakemake keeps it") == 1


def test_the_page_tells_tables_that_were_changed_and_tables_that_state_does_not_know(road):
    paths = {"gain": road, "other": "results/other.csv"}
    before = origins({"gain": chain(road)}, {})
    assert " open" not in before and "changed" not in before
    was = files.sha256(road)
    forge(road, "9,9", anew=False)
    forge("results/run-1.json", "by hand", anew=True)
    Path("results/other.csv").write_text("from elsewhere")
    found = Lineage(STATE).chains(paths)
    page, now = origins(found, {}), files.sha256(road)
    gain, other = page.split('id="made-other"')
    assert "This table is not as the job wrote it: it was changed afterwards" in gain
    assert f"{road}: SHA-256 {was[:12]} then, {now[:12]} now" in gain and "<dt>Seeds</dt>" in gain and " open" in gain
    assert "A file that this table rests on was changed after train seed=1 wrote it (results/run-1.json" in gain
    assert "State does not know which job made this table" in other and "<dl>" not in other
    assert "which are not listed: 1" in cost(found, {}) and cost({"other": found["other"]}, {}) == ""


def test_a_table_of_an_input_that_had_been_changed_is_told_with_it(road):
    forge("results/run-0.json", "by hand", anew=True)
    finish("tabulate", "results/late.csv", "7", ["results/run-0.json"])
    found = chain("results/late.csv")
    assert found.unknown == ["results/run-0.json"]
    page = origins({"late": found}, {})
    assert "A file that this table rests on was changed after train seed=0 wrote it (results/run-0.json: SHA-256" in page
    assert "This table is not" not in page


def test_an_earlier_version_of_an_input_is_no_change_by_hand(road):
    finish("train", "results/run-0.json", "another run 0", [STORE], wildcards={"seed": "0"}, cfg={"rate": 0.2})
    assert chain(road).edits == []


def test_the_config_the_code_and_the_data_each_move_their_own_digest(road):
    def digests():
        records = chain(road).records
        return lines.config_digest(records), lines.code_digest(records), lines.digest(lines.real_data(records))

    before = digests()
    for place, (rule, key, value) in enumerate((("train", "cfg", {"rate": 0.2}), ("tile", "code", {"tile.py": "z"}))):
        path = next(STATE.glob(f"{rule}/*/provenance.json"))
        kept = path.read_text()
        files.write_json(path, json.loads(kept) | {key: value})
        after = digests()
        assert [a != b for a, b in zip(before, after)] == [place == side for side in range(3)]
        path.write_text(kept)
    assert digests() == before


# Cost ---------------------------------------------------------------------------------------------------------------------------


def test_a_table_costs_what_all_attempts_at_all_its_jobs_used(road):
    sums = total(chain(road).records)
    # tabulate, two trainings of which one had a second attempt, and a tiling of which only five seconds of two threads are known
    assert sums == Used(20.0, 7200.0, 3 + 7 + 7 + 3 + 10, broken=1, lacking=False, bounded=True)
    assert total([*chain(road).records, *chain(road).records]) == sums


def test_a_gpu_that_tells_no_energy_makes_the_sum_a_lower_bound(road):
    path = next(STATE.glob("train/*/provenance.json"))
    facts = json.loads(path.read_text())
    files.write_json(path, facts | {"attempts": [ROW | {"energy_joules": None}]})
    found = chain(road)
    assert total(found.records).joules == 3600 and total(found.records).lacking
    page = cost({"gain": found}, {"gain": "Gain"})
    assert "≥ 1<" in page and "of some GPUs NVML told no energy" in page


def test_a_job_that_was_never_measured_counts_by_its_time():
    folder = finish("train", "results/w.json", "w", devices=["0", "1"])
    (record,) = Lineage(STATE).all("results/w.json")
    assert record.folder == folder and used(record) == Used(10.0, None, 10.0, lacking=True, bounded=True) and total([record]).joules is None


def test_times_hosts_and_cost_stand_in_one_part_of_the_page(road):
    titles = {"gain": "Gain <of> what"}
    pages = []
    for host, day in (("alpha", "01"), ("beta", "02")):
        for path in STATE.glob("*/*/provenance.json"):
            facts = json.loads(path.read_text()) | {"host": host, "started": f"2026-01-{day}T00:00:00+00:00", "seconds": int(day)}
            files.write_json(path, facts | {"attempts": [ROW | {"host": host, "seconds": float(day)}] * int(day)})
        found = {"gain": chain(road)}
        pages.append(f"<p>before</p>{origins(found, titles)}{cost(found, titles)}<p>after</p>")
    assert pages[0] != pages[1] and "alpha" in pages[0] and "beta" in pages[1]
    assert without_times(pages[0]) == without_times(pages[1])
    assert "alpha" not in without_times(pages[0]) and without_times(pages[0]).endswith("<p>after</p>")
    assert "Gain &lt;of&gt; what" in pages[0] and "<of>" not in pages[0]
    assert "train 0, 1" in without_times(pages[0]) and "numpy 2" in without_times(pages[0])


def test_tables_share_jobs_and_the_last_row_counts_each_once(road):
    finish("tabulate", "results/other.csv", "3", ["results/run-0.json"], wildcards={"experiment": "other"}, attempts=[CPU])
    page = cost({"gain": chain(road), "other": chain("results/other.csv")}, {})
    rows = [row.split("</tr>")[0] for row in page.split("<tbody>")[1].split("<tr>")[1:]]
    jobs = [row.split("<td")[1].split(">")[1].split("<")[0] for row in rows]
    assert jobs == ["4", "3", "5"]
    assert cost({}, {}) == "" == origins({}, {}) == cost({"x": Chain()}, {})

"""What state tells of a file and of its cost, over entries written here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from satsynth.reporting import lineage as lines
from satsynth.reporting.explanation import again, made
from satsynth.reporting.lineage import Chain, Lineage
from satsynth.reporting.provenance import Used, cost, origins, total, used, without_times
from satsynth.reporting.reasons import Planned, config_key, judge
from satsynth.runtime import files, state

STATE = Path("results/state")
STORE = "results/town/64px/real/train/card.json"
ROW = {"seconds": 10.0, "cpu_seconds": 7.0, "devices": 1, "gpu_seconds": 10.0, "energy_joules": 3600.0, "gpus": [{"model": "Pretend GPU"}]}
CPU = {"seconds": 4.0, "cpu_seconds": 3.0, "devices": 0, "gpu_seconds": 0.0, "energy_joules": None, "gpus": []}


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def finish(rule, output, content, inputs=(), *, wildcards=(), cfg=None, code=None, raw=None, **facts):
    """An entry of a job that wrote `content` to `output`, which is put in its place; its folder."""
    wildcards = dict(wildcards)
    key = state.key(rule, wildcards, cfg, code, raw, inputs)
    entry = state.State(STATE, rule, key)
    entry.begin()
    entry.staged(output).parent.mkdir(parents=True, exist_ok=True)
    entry.staged(output).write_text(content)
    told = {"rule": rule, "wildcards": wildcards, "cfg": cfg, "code": code, "raw": raw, "versions": {"numpy": "2"}, "python": "3.11"}
    told["inputs"] = {path: {"size": 1, "sha256": files.sha256(path)} for path in inputs}
    told |= {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:00+00:00", "host": "alpha", "device": "cpu", "restored": []}
    files.write_json(entry.provenance, told | {"threads": 2, "seconds": 5.0, "devices": [], "platform": "Linux"} | facts)
    entry.publish([output])
    return entry.folder


def forge(path, content, *, anew):
    """Another content under the same path: in a new file, or in the file that state's copy is a link of."""
    if anew:
        Path(path).unlink()
    Path(path).write_text(content)


@pytest.fixture
def road():
    """A table of two runs over one store; the store and one of the runs used a GPU."""
    finish("tile", STORE, "pairs", cfg={"seed": 3}, code={"tile.py": "a"}, raw="feed")
    for seed, rows in (("0", [ROW]), ("1", [ROW, CPU])):
        card = f"results/run-{seed}.json"
        finish(
            "train",
            card,
            f"run {seed}",
            [STORE],
            wildcards={"seed": seed},
            cfg={"rate": 0.1},
            code={"train.py": "b"},
            attempts=rows,
            device="cuda",
        )
    cards = ["results/run-0.json", "results/run-1.json", STORE]
    finish("tabulate", "results/gain.csv", "1,2", cards, cfg={"bootstrap_seed": 5}, code={"table.py": "c"}, attempts=[CPU])
    return "results/gain.csv"


def chain(path):
    found = Lineage(STATE)
    return found.chain(found.maker(path))


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


# Reasons ------------------------------------------------------------------------------------------------------------------------


def planned(road, runs=False, **changes):
    """The jobs of `road` as the rules have them; `changes` are of the tables' job."""
    jobs = [Planned("tile", {}, {"seed": 3}, {"tile.py": "a"}, "feed", (), (STORE,), False)]
    for seed in "01":
        jobs.append(
            Planned("train", {"seed": seed}, {"rate": 0.1}, {"train.py": "b"}, None, (STORE,), (f"results/run-{seed}.json",), False)
        )
    cards = ("results/run-0.json", "results/run-1.json", STORE)
    parts = {"cfg": {"bootstrap_seed": 5}, "code": {"table.py": "c"}, "raw": None, "inputs": cards} | changes
    return [*jobs, Planned("tabulate", {}, outputs=(road,), runs=runs, words="Forced execution", **parts)]


def told_of(road, jobs):
    judged = judge(jobs, Lineage(STATE), {})[road]
    return judged.fate, [(change.kind, change.what) for change in judged.changes], "\n".join(again(judged))


def test_each_kind_of_change_is_told_and_nothing_else(road):
    assert told_of(road, planned(road)) == ("stays", [], "It would not: nothing that it depends on has changed.")
    for changes, kind, what in (
        ({"cfg": {"bootstrap_seed": 6}}, "config", "bootstrap_seed"),
        ({"cfg": {"bootstrap_seed": 5, "extra": {"deep": 1}}}, "config", "extra"),
        ({"code": {"table.py": "c", "new.py": "d"}}, "code", "new.py"),
        ({"raw": "other"}, "raw", "tabulate"),
        ({"inputs": ("results/run-0.json", "results/run-1.json")}, "input", STORE),
    ):
        fate, found, words = told_of(road, planned(road, runs=True, **changes))
        assert (fate, found) == ("computed", [(kind, what)]) and what in words


def test_a_job_that_is_started_for_nothing_comes_back_from_state(road):
    fate, found, words = told_of(road, planned(road, runs=True))
    assert (fate, found) == ("restored", []) and "come back from state" in words and "Forced execution" in words


def test_an_input_of_two_roles_counts_twice_as_in_the_key_of_state(road):
    finish("twice", "results/t.csv", "1", [STORE, "results/run-0.json", STORE])
    job = Planned("twice", {}, None, None, None, (STORE, "results/run-0.json", STORE), ("results/t.csv",), True)
    assert judge([*planned(road), job], Lineage(STATE), {})["results/t.csv"].fate == "restored"


def test_another_content_of_an_input_is_told_of(road):
    Path("results/run-1.json").unlink()
    Path("results/run-1.json").write_text("by hand")
    assert told_of(road, planned(road, runs=True))[:2] == ("computed", [("input", "results/run-1.json")])


def test_what_is_made_of_work_that_is_done_again_waits_for_it_and_is_grouped(road):
    jobs = [
        Planned(
            job.rule, job.wildcards, {"rate": 0.2} if job.rule == "train" else job.cfg, job.code, job.raw, job.inputs, job.outputs, True
        )
        for job in planned(road)
        if job.rule != "tile"
    ]
    fate, found, words = told_of(road, [*planned(road)[:1], *jobs])
    assert (fate, found) == ("follows", []) and words.count("config rate: 0.1 -> 0.2") == 1
    assert "train seed=0" in words and "train seed=1" in words and "2 jobs before it" in words


def test_inputs_that_come_back_from_state_are_known_before_they_are_there(road):
    Path("results/run-0.json").unlink()
    jobs = planned(road, runs=True)
    jobs[1] = replace(jobs[1], runs=True)
    assert told_of(road, jobs)[:2] == ("restored", [])


def test_what_was_never_made_is_one_paragraph_a_rule(road):
    tile, *jobs = planned(road)
    jobs = [replace(job, runs=True, outputs=(f"results/other/{job.outputs[0]}",)) for job in jobs]
    jobs[2] = replace(jobs[2], inputs=(jobs[0].outputs[0], jobs[1].outputs[0]))
    _, found, words = told_of(jobs[2].outputs[0], [tile, *jobs])
    assert found == [("outputs", "tabulate"), ("record", jobs[2].outputs[0])]
    begins = words.split("where it begins:\n")[1]
    assert begins.count("nothing of what it makes is there") == 1


def test_what_was_never_made_begins_with_the_jobs_whose_inputs_are_there():
    jobs = [
        Planned("tile", {}, None, None, None, (), (STORE,), True),
        Planned("train", {}, None, None, None, (STORE,), ("results/run.json",), True),
        Planned("tabulate", {}, None, None, None, ("results/run.json",), ("results/t.csv",), True),
    ]
    fate, _, words = told_of("results/t.csv", jobs[::-1])
    assert fate == "follows" and "2 jobs before it would be started; where it begins:\n  tile\n" in words
    assert "train" not in words and words.count("nothing of what it makes is there") == 1


def test_changes_of_later_jobs_are_counted_and_listed_when_all_is_asked_for(road):
    jobs = [replace(job, cfg={"seed": 4} if job.rule == "tile" else {"rate": 0.2}, runs=True) for job in planned(road)]
    judged = judge(jobs, Lineage(STATE), {})[road]
    few, all_of_it = "\n".join(again(judged)), "\n".join(again(judged, deep=True))
    assert "Of the jobs after these 2 have changes of their own too" in few and "rate: 0.1 -> 0.2" not in few.split("begins:")[1]
    assert "train seed=1" not in few and all_of_it.index("config seed: 3 -> 4") < all_of_it.index("train seed=1")


def test_who_forgot_the_overlays_is_asked_for_them(road):
    few = {"bootstrap_seed": 6, "a": 1, "b": 2}
    for cfg, asked in ((few, False), ({**few, "c": 3}, True)):
        assert ("Made with other overlays? Name them: CONFIG=" in told_of(road, planned(road, runs=True, cfg=cfg))[2]) == asked


def test_keys_are_told_where_they_were_written():
    config = {"segmenters": {"fpn": {"rate": 1}, "exposures": {"extends": "fpn", "share": 2}, "deep": {"extends": "exposures"}}}
    resolved = {"segmenters": {name: {"rate": 1, "share": 2, "size": 3} for name in config["segmenters"]}}
    for name, key, now, found in (
        ("exposures", "rate", 1, "segmenters.fpn.rate"),
        ("deep", "rate", 1, "segmenters.fpn.rate"),
        ("deep", "share", 2, "segmenters.exposures.share"),
        ("deep", "size", 3, "segmenters.deep.size"),  # of the preset
    ):
        assert config_key(key, now, {"segmenter": name}, resolved, config) == found
    assert config_key("rate", 1, {"segmenter": "deep"}, resolved) == "segmenters.deep.rate"


def test_rules_of_one_dataset_tell_its_keys():
    finish("tile_patches_town", "results/t.csv", "1", cfg={"size": 64}, code={})
    job = Planned("tile_patches_town", {"split": "val"}, {"size": 32}, {}, None, (), ("results/t.csv",), True)
    resolved = {"datasets": {"town": {"patches": {"size": 32}}, "patches_town": {"size": 32}}}
    changes = judge([job], Lineage(STATE), resolved)["results/t.csv"].changes
    assert [change.what for change in changes if change.kind == "config"] == ["datasets.town.patches.size"]


def test_many_files_of_one_fate_are_folded(road):
    code = {"table.py": "c", **{f"new_{place}.py": "d" for place in range(5)}}
    _, found, words = told_of(road, planned(road, runs=True, code=code))
    assert len(found) == 5 and words.count("is new among its code") == 3 and "likewise 2 files more" in words


def test_lists_of_maps_that_grow_are_told_as_a_whole(road):
    finish("list", "results/l.csv", "1", cfg={"runs": [{"seed": 0}, {"seed": 1}]})
    for runs, what in (([{"seed": 0}, {"seed": 2}], "runs[1].seed"), ([{"seed": 0}], "runs")):
        job = Planned("list", {}, {"runs": runs}, None, None, (), ("results/l.csv",), True)
        _, found, words = told_of("results/l.csv", [job])
        assert found == [("config", what)]
        assert ("2 entries -> 1 entries" in words) == (what == "runs")


def test_keys_are_told_as_the_config_has_them_where_that_is_beyond_doubt():
    resolved = {
        "segmenters": {"fpn": {"training": {"rate": 1, "steps": 5}, "loss": {"steps": 5}, "size": 8, "encoder": {"size": 8}}},
        "sources": {"cascade": {"sampler": {"steps": 2}, "then_sampler": {"steps": 2}}},
        "measures": {"pixels": 9},
    }
    fpn, cascade = {"segmenter": "fpn", "dataset": "demo"}, {"source": "cascade"}
    for key, now, wildcards, found in (
        ("training.rate", 1, fpn, "segmenters.fpn.training.rate"),
        ("rate", 1, fpn, "segmenters.fpn.training.rate"),
        ("rate", 2, fpn, "rate"),  # another value: it comes from somewhere else
        ("steps", 5, fpn, "steps"),  # of the training or of the loss
        ("size", 8, fpn, "segmenters.fpn.size"),  # not that of the encoder
        ("samplers[1].steps", 2, cascade, "sources.cascade.then_sampler.steps"),
        ("pixels", 9, {}, "measures.pixels"),
    ):
        assert config_key(key, now, wildcards, resolved) == found

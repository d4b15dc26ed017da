"""The plan of a chaos run: as many kills as asked, enough inside every stage, the same for the same seed."""

from collections import Counter

import pytest

from tests.chaos.plan import ON_JOBS, STAGES, Job, Target, least_inside, make, shortfalls

RULES = {
    **{"generate_scenes_demo": 1, "tile_patches_demo": 2, "train_generator": 2, "train_segmenter": 4, "sample_pairs": 3},
    **{"evaluate_segmenter": 4, "tabulate_runs": 3, "draw_figure": 6, "write_report": 1},
}
JOBS = [Job(rule, f"n={number}", f"{rule}{number}", 1.5) for rule, count in RULES.items() for number in range(count)]


@pytest.mark.parametrize(("kills", "least"), [(4, 1), (6, 1), (11, 1), (12, 3), (25, 3)])
def test_every_stage_gets_its_least_of_signals_that_end_the_job_itself(kills, least):
    assert least_inside(kills) == least
    for seed in range(20):
        planned = make(seed, kills, JOBS)
        inside = Counter(kill.job.stage for kill in planned if kill.job and (kill.target, kill.signal) in ON_JOBS)
        assert len(planned) == kills and all(inside[stage] >= least for stage in STAGES)
        assert all(0 <= kill.share < 1 for kill in planned)


def test_the_plan_is_a_function_of_the_seed_whatever_the_order_of_jobs():
    assert make(3, 25, JOBS) == make(3, 25, JOBS[::-1]) != make(4, 25, JOBS)


def test_many_kills_meet_every_rule_every_signal_and_workflows_at_their_start():
    planned = make(0, 400, JOBS)
    assert {kill.job.rule for kill in planned if kill.job} == set(RULES)
    assert {(kill.target, kill.signal.name) for kill in planned} == {
        *((target, name) for target in (Target.JOB, Target.WORKFLOW) for name in ("SIGKILL", "SIGTERM")),
        *((Target.GROUP, name) for name in ("SIGKILL", "SIGINT")),
        (Target.WORKFLOW, "SIGINT"),
    }
    assert sum(kill.job is None for kill in planned) > 50


def test_stages_without_jobs_and_too_few_kills_are_refused():
    with pytest.raises(ValueError, match="3 kills"):
        make(0, 3, JOBS)
    with pytest.raises(ValueError, match="sampling"):
        make(0, 25, [job for job in JOBS if job.stage != "sampling"])


def test_what_fell_short_is_told():
    assert shortfalls(25, Counter(tiling=3, training=7, sampling=2)) == {"sampling": 1, "tables": 3}
    assert shortfalls(6, Counter(tiling=1, training=1, sampling=1, tables=1)) == {}

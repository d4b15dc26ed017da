"""What befalls a cluster: time limits, cancelled jobs, nodes and controllers that die, a workflow that is killed."""

import subprocess
import time

from checkout import kill
from one_machine_slurm import NODES
from submission import ONE, TWO, release, tables, until

RUN = "results/demo/64px/segmentation/{}/fpn/seed-0/weights.safetensors"
RESUMED = "segmenter: resumed at step"


def check_like(checkout, undisturbed, *names):
    found = tables(checkout, *names)
    assert found == tables(undisturbed, *names) and len(found) == 3 * len(names)


def test_trainings_that_meet_their_time_limit_resume_and_end_with_the_same_weights(slurm, untrained, undisturbed):
    """One sees its budget end and leaves by itself; one hangs, and SLURM kills it."""
    slurm.grace(10)  # a busy machine may need the minute to start
    run = untrained.start(*TWO, "--set-resources", "train_segmenter:runtime=1 if attempt == 1 else 60")
    early, _ = untrained.hold(2, run)
    job = early.environ()["SLURM_JOB_ID"]
    # Their budget is half a minute at most, and began before they were held.
    spent = time.monotonic() + 31
    until(lambda: time.monotonic() > spent, run)
    release([early])
    until(lambda: job not in [queued for queued, *_ in slurm.jobs()], run)
    assert "the time budget of" in untrained.texts("train_segmenter")
    slurm.grace(0)
    log = untrained.finish(run)
    assert "SLURM status is: 'FAILED'" in log and "SLURM status is: 'TIMEOUT'" in log
    assert untrained.texts("train_segmenter").count(RESUMED) == 2
    for name in ("real", "real+cascade-r1"):
        path = RUN.format(name)
        assert (untrained.folder / path).read_bytes() == (undisturbed.folder / path).read_bytes()
    check_like(untrained, undisturbed, "two")


def test_a_cancelled_job_is_noticed_and_the_next_run_completes(slurm, untrained, undisturbed):
    run = untrained.start(*ONE, "--retries", "0")
    (held,) = untrained.hold(1, run)
    subprocess.run(["scancel", held.environ()["SLURM_JOB_ID"]], check=True)
    assert run.wait() == 1, "a cancelled job was not noticed"
    assert "SLURM status is: 'CANCELLED'" in untrained.log.read_text()
    untrained.run(*ONE)
    assert RESUMED in untrained.texts("train_segmenter")
    check_like(untrained, undisturbed, "one")


def test_a_training_outlives_the_daemon_of_its_node(slurm, untrained, undisturbed):
    run = untrained.start(*ONE)
    held = untrained.hold(1, run)
    job = held[0].environ()["SLURM_JOB_ID"]
    for node in NODES:
        slurm.end(node, 9)
        slurm.start_node(node)
    assert (job, "RUNNING") in [(queued, status) for queued, status, _ in slurm.jobs()]
    release(held)
    log = untrained.finish(run)
    assert RESUMED not in untrained.texts("train_segmenter") and "SLURM status is" not in log
    check_like(untrained, undisturbed, "one")


def test_a_training_whose_node_dies_goes_on_on_another_node(slurm, untrained, undisturbed):
    """The node stays away for longer than SLURM waits for it (SlurmdTimeout)."""
    run = untrained.start(*ONE)
    (held,) = untrained.hold(1, run)
    place = held.environ()
    slurm.lose(place["SLURMD_NODENAME"], place["SLURM_JOB_ID"])
    try:
        log = untrained.finish(run)
    finally:
        slurm.start_node(place["SLURMD_NODENAME"])
    assert log.count("SLURM status is: 'NODE_FAIL'") == 1
    assert untrained.texts("train_segmenter").count(RESUMED) == 1
    (other,) = set(NODES) - {place["SLURMD_NODENAME"]}
    assert {line.split()[0] for line in untrained.leases.read_text().splitlines()} == {other}
    path = RUN.format("real")
    assert (untrained.folder / path).read_bytes() == (undisturbed.folder / path).read_bytes()
    check_like(untrained, undisturbed, "one")


def test_a_restarted_controller_loses_no_job(slurm, untrained, undisturbed):
    run = untrained.start(*ONE)
    held = untrained.hold(1, run)
    job = held[0].environ()["SLURM_JOB_ID"]
    slurm.end("slurmctld")
    slurm.start_controller()
    assert (job, "RUNNING") in [(queued, status) for queued, status, _ in slurm.jobs()]
    release(held)
    untrained.finish(run)
    assert RESUMED not in untrained.texts("train_segmenter")
    check_like(untrained, undisturbed, "one")


def test_a_killed_workflow_goes_on_where_it_was(slurm, untrained, undisturbed):
    run = untrained.start(*ONE)
    held = untrained.hold(1, run)
    kill(run)
    # The job runs on without its workflow. The next workflow's job waits for it, and finds the work done.
    untrained.run("--unlock")
    again = untrained.start(*ONE)
    until(lambda: "Another process does this very work" in untrained.texts("train_segmenter"), again)
    release(held)
    untrained.finish(again)
    assert "restored from" in untrained.texts("train_segmenter")
    check_like(untrained, undisturbed, "one")

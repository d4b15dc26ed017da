"""The whole road under SLURM, through the profile that users take."""

import os

import pytest
from checkout import PARTS, Checkout
from submission import CONFIGS, Submission, tables

DONE = "Nothing to be done"


@pytest.fixture(scope="module")
def road(slurm, tmp_path_factory):
    """The finished checkout, and what Snakemake said."""
    checkout = Submission(tmp_path_factory.mktemp("road") / "satsynth")
    return checkout, checkout.run()


def test_tables_and_weights_equal_those_of_a_local_run(road, undisturbed):
    checkout, _ = road
    names = ("one", "two")
    assert tables(checkout, *names) == tables(undisturbed, *names) and len(tables(checkout, *names)) == 6
    weights = sorted(path.relative_to(undisturbed.folder) for path in undisturbed.folder.glob("results/demo/**/weights.safetensors"))
    assert len(weights) == 4
    for path in weights:
        assert (checkout.folder / path).read_bytes() == (undisturbed.folder / path).read_bytes(), path


def test_shards_went_as_one_job_array(road):
    assert "Submitted array job" in road[1]


def test_jobs_at_the_same_time_have_devices_of_their_own(road):
    checkout, _ = road
    held = [line.split() for line in checkout.leases.read_text().splitlines()]
    held = [(node, device, int(since), int(until)) for node, device, since, until in held]
    assert len(held) == 8  # two generators, two shards, two trainings, two scores: one GPU each
    overlapping = 0
    for place, (node, device, since, until) in enumerate(held):
        for other, another, begun, ended in held[:place]:
            if since < ended and begun < until:
                overlapping += 1
                assert (node, device) != (other, another), "two jobs had one GPU at the same time"
    assert overlapping, "no two jobs ran at the same time, so this showed nothing"
    # SLURM gave every job a GPU that nobody had: none had to wait for another's lock.
    assert not any("Waiting for" in path.read_text() for path in (checkout.folder / "results/logs").rglob("*.log"))


def test_nothing_is_left_to_do_under_slurm_and_locally_even_after_every_file_was_touched(road):
    checkout, _ = road
    local = object.__new__(Checkout)
    local.folder = checkout.folder
    assert DONE in checkout.run("-n") and DONE in local.run("-n", configs=CONFIGS)
    for part in (*PARTS, *CONFIGS[1:]):
        for path in [checkout.folder / part, *(checkout.folder / part).rglob("*")]:
            os.utime(path)
    assert DONE in checkout.run("-n") and DONE in local.run("-n", configs=CONFIGS)

"""Results on remote storage: here a folder that Snakemake's storage plugin copies from and to, as it would with S3."""

import shutil

import pytest
from checkout import TINY, Checkout

MORE = {"run": ["gain", "fidelity", "class_distribution", "pairs", "predictions", "denoising", "training_curves"]}


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed, by which the storage plugin copies")
def test_the_whole_road_runs_on_remote_storage_and_comes_to_the_same(finished, tmp_path):
    checkout, storage = Checkout(tmp_path / "satsynth"), tmp_path / "storage"
    configs = (TINY, checkout.overlay("more.yaml", MORE))
    remote = ("--default-storage-provider", "fs", "--default-storage-prefix", str(storage))
    checkout.run(*remote, configs=configs)
    assert [path.name for path in (checkout.folder / "results").iterdir()] == ["state"]  # undeclared, so it stays where the jobs ran
    assert (storage / "results/report/index.html").is_file() and (storage / "results/tables/fidelity.csv").is_file()
    for path in sorted((finished.folder / "results/tables").iterdir()):
        assert (storage / "results/tables" / path.name).read_bytes() == path.read_bytes(), path.name
    weights = "results/demo/64px/segmentation/real+cascade-r1/fpn/seed-0/weights.safetensors"
    assert (storage / weights).read_bytes() == (finished.folder / weights).read_bytes()
    assert "Nothing to be done" in checkout.run("-n", *remote, configs=configs)

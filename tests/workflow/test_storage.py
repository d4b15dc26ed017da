"""Results on remote storage: here a folder that Snakemake's storage plugin copies from and to, as it would with S3."""

import shutil

import pytest
import segmentation_models_pytorch as smp
from checkout import TINY, Checkout
from safetensors.torch import save_file

from satsynth.reporting.provenance import without_times
from satsynth.runtime.files import read_json, sha256, walk

MORE = {"run": ["gain", "fidelity", "class_distribution", "pairs", "predictions", "denoising", "training_curves", "trainset"]}
RUN = "results/demo/64px/segmentation/{}/seed-0/{}"
PAGE, EXPORT = "results/report/index.html", "results/exports/trainset"


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed, by which the storage plugin copies")
def test_the_whole_road_runs_on_remote_storage_and_comes_to_the_same(copy, tmp_path):
    checkout, storage = Checkout(tmp_path / "satsynth"), tmp_path / "storage"
    configs = (TINY, checkout.overlay("more.yaml", MORE))
    remote = ("--default-storage-provider", "fs", "--default-storage-prefix", str(storage))
    checkout.run(*remote, configs=configs)
    copy.run(configs=(TINY, copy.overlay("more.yaml", MORE)))
    assert [path.name for path in (checkout.folder / "results").iterdir()] == ["state"]  # undeclared, so it stays where the jobs ran
    tables = sorted((copy.folder / "results/tables").iterdir())
    assert len(tables) == 6
    for path in tables:
        assert (storage / "results/tables" / path.name).read_bytes() == path.read_bytes(), path.name
    exported = [path for path in walk(copy.folder / EXPORT) if path.name != ".snakemake_timestamp"]
    assert len(exported) > 30  # folders of files among them
    for path in exported:
        name = path.relative_to(copy.folder)
        assert (storage / name).read_bytes() == path.read_bytes(), name
    weights = RUN.format("real+cascade-r1/fpn", "weights.safetensors")
    assert (storage / weights).read_bytes() == (copy.folder / weights).read_bytes()
    page = (storage / PAGE).read_text()
    assert "What each table was made of" in page and "Cost and times" in page and "jobs that state does not know" not in page
    assert without_times(page) == without_times((copy.folder / PAGE).read_text())
    assert "Nothing to be done" in checkout.run("-n", *remote, configs=configs)
    # A weights file of the user's own is no input: it lies beside the config, wherever the results are.
    (checkout.folder / "my").mkdir()
    encoder = checkout.folder / "my/encoder.safetensors"
    save_file(smp.encoders.get_encoder("resnet18", weights=None).state_dict(), encoder)
    own = {"segmenters": {"own": {"extends": "fpn", "encoder_weights": "my/encoder.safetensors"}}}
    checkout.run(RUN.format("real/own", "card.json"), *remote, configs=(*configs, checkout.overlay("own.yaml", own)))
    assert read_json(storage / RUN.format("real/own", "card.json"))["encoder_weights"] == f"sha256:{sha256(encoder)}"

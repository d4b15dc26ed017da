"""`gpu: 2` in the config: jobs lease two pretend devices and share their work among two processes, computed on the CPU."""

import shutil

from checkout import ROOT, TINY

from satsynth.runtime.files import sha256

SHARED = {"generators": {"satsynth": {"gpu": 2}}, "sources": {"cascade": {"gpu": 2}}, "segmenters": {"fpn": {"gpu": 2}}}
GENERATOR = "results/demo/generators/satsynth/weights.safetensors"
SHARD = "results/demo/64px/cascade/shard-0001/card.json"
SEGMENTER = "results/demo/64px/segmentation/real/fpn/seed-0/card.json"


def test_two_devices_share_a_training_and_a_shard(copy):
    configs = (TINY, copy.overlay("shared.yaml", SHARED))
    assert copy.planned(configs=configs) == {}, "how many devices share a job is no part of its result"
    before = {path: sha256(copy.folder / path) for path in (SHARD, GENERATOR)}
    # State would bring the outputs back; without it and them the work is done anew.
    shutil.rmtree(copy.folder / "results/state")
    for path in (SHARD, SEGMENTER):
        shutil.rmtree((copy.folder / path).parent)
    shim = f"{ROOT / 'tests/cluster/pretend'}:{copy.folder}"  # Python imports it when it starts, and it the project
    pretend = {"CUDA_VISIBLE_DEVICES": "0,1", "PRETEND_LEASES": str(copy.folder / "leases.txt"), "PYTHONPATH": shim}
    log = copy.run(SHARD, SEGMENTER, configs=configs, **pretend)
    assert log.count("2 processes on cpu, by gloo") == 2
    assert sha256(copy.folder / SHARD) == before[SHARD]
    leases = [line.split() for line in (copy.folder / "leases.txt").read_text().splitlines()]
    assert sorted(device for _, device, *_ in leases) == ["0", "0", "1", "1"]
    log = copy.run("--forcerun", "train_generator", "--until", "train_generator", configs=configs, **pretend)
    assert log.count("2 processes on cpu, by gloo") == 1, "the upscaler has one device"

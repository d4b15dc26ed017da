"""An export made by the workflow: from a config's stanza to files, made again pair by pair, restored from state."""

import shutil
import subprocess
import sys

import numpy as np
from checkout import TINY, surroundings
from PIL import Image

from satsynth.pairs import open_view
from satsynth.runtime.files import walk

FOLDER = "results/exports/trainset"
STANZA = {"real": True, "measures": False, "webdataset": True, "images_per_tar": 10}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in walk(folder) if path.name != ".snakemake_timestamp"}


def test_an_export_is_made_checked_and_restored(copy):
    configs = (TINY, copy.overlay("export.yaml", {"run": ["trainset"], "exports": {"trainset": STANZA}}))
    assert copy.planned(configs=configs) == {"export_pairs_trainset": 1, "write_report": 1}
    copy.run(f"{FOLDER}/README.md", configs=configs)
    place = copy.folder / FOLDER
    home = copy.folder / "results/demo/64px"
    for part, folders in (("cascade", sorted(home.glob("cascade/shard-*"))), ("real-train", [home / "real/train"])):
        view = open_view(folders)
        assert len(list((place / "train/images").glob(f"{part}-*.png"))) == len(view) == 12
        for index in range(len(view)):
            found = [np.array(Image.open(place / f"train/{kind}/{part}-{index:07d}.png")) for kind in ("images", "masks")]
            assert all(map(np.array_equal, found, view.pair(index)))
    assert len(list((place / "val/masks").iterdir())) == 4 and len(walk(place / "webdataset")) == 5  # tars of 24 and 4 pairs, a time stamp

    command = [sys.executable, "-m", "workflow_scripts.regenerate", FOLDER, "2", "11", "--cpu"]
    done = subprocess.run(command, cwd=copy.folder, env=surroundings() | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("cascade")] == [
        f"cascade-{index:07d}: the same pair. Labels: equal; image: equal." for index in (2, 11)
    ]

    before = contents(place)
    shutil.rmtree(place / "train")
    said = copy.run(f"{FOLDER}/README.md", f"{FOLDER}/train", configs=configs)
    assert "Finished before, restored from" in said and contents(place) == before
    assert copy.planned(f"{FOLDER}/README.md", f"{FOLDER}/train", f"{FOLDER}/val", configs=configs) == {}

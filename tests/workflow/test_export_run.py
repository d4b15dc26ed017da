"""An export made by the workflow: from a config's stanza to files, made again pair by pair, restored from state."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
from checkout import TINY, surroundings
from PIL import Image

from satsynth.pairs import open_view
from satsynth.runtime.files import walk

FOLDER = "results/exports/trainset"
STANZA = {"real": True, "measures": False, "webdataset": True, "images_per_tar": 10}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in walk(folder) if path.name != ".snakemake_timestamp"}


def regenerated(copy, *indices):
    """What `make regenerate` says of these pairs."""
    command = [sys.executable, "-m", "workflow_scripts.regenerate", FOLDER, *map(str, indices), "--cpu"]
    done = subprocess.run(command, cwd=copy.folder, env=surroundings() | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith(" ")]


def test_an_export_is_made_checked_and_restored(copy):
    configs = (TINY, copy.overlay("export.yaml", {"run": ["trainset"], "exports": {"trainset": STANZA}}))
    assert copy.planned(configs=configs) == {"export_pairs_trainset": 1, "write_report": 1}
    copy.run(configs=configs)
    place = copy.folder / FOLDER
    assert 'href="../exports/trainset/README.md"' in (copy.folder / "results/report/index.html").read_text()
    home = copy.folder / "results/demo/64px"
    for part, folders in (("cascade", sorted(home.glob("cascade/shard-*"))), ("real-train", [home / "real/train"])):
        view = open_view(folders)
        assert len(list((place / "train/images").glob(f"{part}-*.png"))) == len(view) == 12
        for index in range(len(view)):
            found = [np.array(Image.open(place / f"train/{kind}/{part}-{index:07d}.png")) for kind in ("images", "masks")]
            assert all(map(np.array_equal, found, view.pair(index)))
    assert len(list((place / "val/masks").iterdir())) == 4 and len(walk(place / "webdataset")) == 5  # tars of 24 and 4 pairs, a time stamp

    assert regenerated(copy, 2, 11) == [f"cascade-{index:07d}: the same pair. Labels: equal; image: equal." for index in (2, 11)]

    before = contents(place)
    shutil.rmtree(place / "train")
    said = copy.run(f"{FOLDER}/README.md", f"{FOLDER}/train", configs=configs)
    assert "Finished before, restored from" in said and contents(place) == before
    assert copy.planned(f"{FOLDER}/README.md", f"{FOLDER}/train", f"{FOLDER}/val", configs=configs) == {}


def test_admitted_pairs_are_exported_with_what_was_decided(copy):
    thresholds = {"pixel_factor": 0.9, "min_margin": None, "max_invalid": None, "max_masked": None, "distance_quantile": None}
    over = {"sources": {"chosen": {"admit": "cascade", "thresholds": thresholds}}, "exports": {"trainset": STANZA | {"source": "chosen"}}}
    copy.run(f"{FOLDER}/README.md", configs=(TINY, copy.overlay("chosen.yaml", over)))
    rows = pd.read_csv(copy.folder / FOLDER / "train/metadata.csv").query("synthetic")
    stores = sorted((copy.folder / "results/demo/64px/chosen").glob("shard-*"))
    kept = pd.concat([pd.read_csv(store / "decisions.csv") for store in stores]).query("decision != 'rejected'")
    assert rows["index"].tolist() == kept["index"].tolist() and rows["decision"].tolist() == kept["decision"].tolist()
    assert (rows["decision"] == "masked").any() and np.allclose(rows["judged_distance"], kept["distance"])
    masked = rows.query("decision == 'masked'").iloc[0]
    assert masked["pixels_ignore"] == round(64 * 64 * masked["masked"]) > 0
    (said,) = regenerated(copy, masked["index"])
    assert said.startswith(
        f"chosen-{masked['index']:07d}: the same pair. Labels: equal ({masked['pixels_ignore']} pixels that the export masked"
    )

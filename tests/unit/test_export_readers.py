"""An export as the stacks read it that are installed with the tests, and as docs/export.md says; pixel by pixel what the stores hold."""

import re

import numpy as np
import pytest
from export_fixtures import CLASSES, World
from presets import ROOT

from tests.stacks.readers import TESTED

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
ELSEWHERE = ("ultralytics", "mmengine")  # read by make test-stacks


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    place = world.export("results", real=False, webdataset=True, parquet=True, measures=True, null_quantile=0.01, evaluator="fpn")
    return world, place


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("reader", TESTED, ids=lambda reader: reader.__name__)
def test_every_pixel_arrives(exported, reader, split):
    world, place = exported
    expected, found = world.pairs(split), {key: (image, mask) for key, image, mask in reader(place, split)}
    assert found.keys() == expected.keys()
    for key, pair in expected.items():
        for ours, theirs in zip(pair, found[key]):
            assert theirs.dtype == np.uint8 and np.array_equal(ours, theirs), key


def test_both_splits_have_the_columns_of_the_table(exported, tmp_path):
    from datasets import Image, load_dataset

    pairs = load_dataset(str(exported[1]), cache_dir=str(tmp_path))
    assert set(pairs) == {"train", "validation"} and pairs["train"].features == pairs["validation"].features
    assert isinstance(pairs["train"].features["image"], Image) and isinstance(pairs["train"].features["mask"], Image)
    row = pairs["train"][4]
    assert (row["index"], row["synthetic"], row["neighbour"], row["neighbour_distance"]) == (4, True, 1, 0.5)
    assert pairs["validation"][0]["synthetic"] is False


def test_parquet_has_the_same_rows(exported, tmp_path):
    from datasets import load_dataset

    folders = (exported[1], exported[1] / "parquet")
    plain, parquet = (load_dataset(str(place), split="train", cache_dir=str(tmp_path)) for place in folders)
    assert list(plain.features) == list(parquet.features)
    names = [name for name in plain.column_names if name not in ("image", "mask")]
    assert plain.select_columns(names).to_list() == parquet.select_columns(names).to_list()


def test_tars_have_the_same_rows(exported, tmp_path):
    from datasets import load_dataset

    plain, tars = (load_dataset(str(place), split="train", cache_dir=str(tmp_path)) for place in (exported[1], exported[1] / "webdataset"))
    assert tars["json"] == [{name: value for name, value in row.items() if name not in ("image", "mask")} for row in plain]


@pytest.mark.parametrize("block", [block for block in BLOCKS if not any(name in block for name in ELSEWHERE)])
def test_the_code_of_the_documentation_runs(exported, tmp_path, monkeypatch, block):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "results/exports").mkdir(parents=True)
    (tmp_path / "results/exports/trainset").symlink_to(exported[1])
    exec(compile(block, "docs/export.md", "exec"), {"__name__": "docs", "classes": CLASSES})


def test_the_documentation_shows_every_stack():
    shown = "\n".join(BLOCKS)
    for word in ("load_dataset", "webdataset", "torchgeo", "segmentation_models_pytorch", "ultralytics", "mmengine"):
        assert word in shown

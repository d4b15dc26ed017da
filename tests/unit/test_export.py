"""What an export holds: the pixels of the stores, a row a pair that no reader has to guess at, the same bytes however it is written."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from export_fixtures import CLASSES, SPACE, World, write_store
from PIL import Image

from satsynth.export import making, rows, tree
from satsynth.export.archives import Tars
from satsynth.export.rows import Part
from satsynth.pairs import IGNORE, Store
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, DiskError, StoreError


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_pngs_hold_the_pixels_of_the_stores(world):
    place = world.export()
    for split in ("train", "val"):
        expected = world.pairs(split)
        assert sorted(path.stem for path in (place / split / "images").iterdir()) == sorted(expected)
        for key, (image, mask) in expected.items():
            for part, mode, pixels in (("images", "RGB", image), ("masks", "L", mask)):
                with Image.open(place / split / part / f"{key}.png") as picture:
                    assert picture.mode == mode and set(picture.info) <= {"dpi"}  # no palette, no profile, no time
                    assert np.array_equal(np.array(picture), pixels)
    masks = np.stack([mask for _, mask in world.pairs("train").values()])
    assert (masks == IGNORE).any() and (masks > 127).any() and masks[masks != IGNORE].max() == CLASSES - 1


def test_a_row_says_what_is_known_of_a_pair(world):
    place = world.export(real=True)
    found = {row["file_name"]: row for row in table(place / "train/metadata.csv")}
    assert len(found) == 9
    row = found["images/made-0000003.png"]
    expected = {
        **{"mask_file_name": "masks/made-0000003.png", "synthetic": "true", "source": "made", "index": "3", "shard": "1", "patch": "-"},
        **{"seed": "3", "block": "4", "weights": "sha256:" + "a" * 12, "sampler": "ddim 5", "nfe": "5", "margin": "1.0", "invalid": "0.0"},
        **{"neighbour": "-1", "neighbour_distance": "-1.0", "decision": "unfiltered", "masked": "0.0", "reasons": "-"},
    }
    assert {name: row[name] for name in expected} == expected
    mask = world.pairs("train")["made-0000003"][1]
    for number in (0, 130, CLASSES - 1):
        assert int(row[f"pixels_class {number}"]) == (mask == number).sum()
    assert int(row["pixels_ignore"]) == (mask == IGNORE).sum()
    real = found["images/real-train-0000002.png"]
    expected = {"synthetic": "false", "source": "real-train", "index": "2", "shard": "-1", "seed": "-1", "weights": "-", "nfe": "0"}
    assert {name: real[name] for name in expected} == expected
    assert real["patch"] == "nan row 32 column 0" and real["decision"] == "real" and real["margin"] == "-1.0"


def test_every_column_has_one_type_in_every_split(world):
    place = world.export(real=True, measures=True, null_quantile=0.01, evaluator="fpn")
    kinds = [pd.read_csv(place / split / "metadata.csv").dtypes.astype(str).to_dict() for split in ("train", "val")]
    assert kinds[0] == kinds[1]
    named = {bool: "bool", int: "int64", float: "float64", str: "str"}
    assert kinds[0] == {name: named[kind] for name, kind in rows.columns(SPACE.names).items()}


def test_nearest_training_patches_stand_beside_their_pairs(world):
    place = world.export(measures=True, null_quantile=0.01, evaluator="fpn")
    train, val = (table(place / split / "metadata.csv") for split in ("train", "val"))
    assert [row["neighbour"] for row in train] == ["0", "1", "2", "0", "1"]
    assert {row["neighbour_distance"] for row in train} == {"0.5"} and {row["neighbour_distance"] for row in val} == {"0.75"}
    assert {(row["neighbour_pixels"], row["neighbour_pixels_distance"]) for row in train} == {("1", "2.0")}


def test_neighbours_of_other_pairs_are_refused(world):
    given = world.measured()
    given["neighbours"].reverse()
    with pytest.raises(StoreError, match="is not about the 3 pairs"):
        world.export(given=given)


def judged(world, *decisions):
    """Files of decisions beside the shards, as an admission leaves them: pairs that were rejected stand there too."""
    made = []
    for shard, words in zip(world.shards, decisions, strict=True):
        facts = {"pair": range(len(words)), "index": Store.open(shard).index["index"], "margin": 0.25, "invalid": 0.0}
        frame = pd.DataFrame({**facts, "masked": 0.5, "distance": 1.5, "decision": words, "reasons": ""})
        frame.loc[len(frame)] = [9, 999, 0.1, 0.0, np.nan, 0.0, "rejected", "margin;copy"]
        files.write_text(shard / "decisions.csv", frame[::-1].to_csv(index=False))
        card = files.read_json(shard / "card.json")
        files.write_json(shard / "card.json", card | {"admission": {"decisions": {"admitted": 1, "masked": 2, "rejected": 4}}})
        made.append(shard / "decisions.csv")
    return {"decisions": made}


def test_decisions_on_admitted_pairs_are_told(world):
    given = judged(world, ["admitted", "masked", "admitted"], ["masked", "admitted"])
    place = world.export(given=given)
    found = table(place / "train/metadata.csv")
    assert [row["decision"] for row in found] == ["admitted", "masked", "admitted", "masked", "admitted"]
    expected = ("1.0", "0.5", "1.5", "-", "0.0")  # the margin is the store's
    assert {tuple(row[name] for name in ("margin", "masked", "judged_distance", "reasons", "invalid")) for row in found} == {expected}
    text = (place / "README.md").read_text()
    assert "of 14 pairs 2 were admitted whole, 4 with pixels set to 255" in text and "and 8 rejected" in text
    with pytest.raises(StoreError, match="does not judge every pair"):
        world.export("other", given={"decisions": given["decisions"][::-1]})


def test_a_source_that_admits_nothing_is_refused(world):
    world.shards = [write_store(world.folder / "made/shard-0000", 0, first=0)]
    with pytest.raises(StoreError, match="no pair of this source was admitted"):
        world.export()


def test_a_shard_may_be_empty(world):
    world.shards[1] = write_store(world.folder / "made/shard-0001", 0, first=3)
    assert len(table(world.export(measures=False) / "train/metadata.csv")) == 3


def contents(place):
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_the_bytes_depend_neither_on_threads_nor_on_chunks(world, monkeypatch):
    options = {"real": True, "webdataset": True, "parquet": True}
    first = contents(world.export(threads=1, **options))
    monkeypatch.setattr(tree, "CHUNK", 2)
    assert contents(world.export("again", threads=4, **options)) == first
    assert {name.split("/")[0] for name in first} >= {"train", "val", "webdataset", "parquet", "README.md", "data.yaml", "recipe.json"}


def test_archives_begin_a_new_file_after_so_many_pairs(world):
    place = world.export(webdataset=True, parquet=True, images_per_tar=3)
    for folder, suffix in (("webdataset", "tar"), ("parquet", "parquet")):
        found = sorted(path.name for path in (place / folder).iterdir())
        assert found == [f"train-00000.{suffix}", f"train-00001.{suffix}", f"val-00000.{suffix}"]


def test_no_more_than_some_chunks_are_under_way(world, monkeypatch):
    """Memory does not grow with the set."""
    begun, most = [0], [0]
    encode = tree.encode_image

    def counted(image):
        begun[0] += 1
        return encode(image)

    class Slow(Tars):
        def add(self, pair):
            most[0] = max(most[0], begun[0] - self._count)
            super().add(pair)

    monkeypatch.setattr(tree, "encode_image", counted)
    monkeypatch.setattr(tree, "CHUNK", 2)
    large = Part(write_store(world.folder / "made/shard-0009", 200, first=100), "made", True, 9)
    totals = tree.write_split(world.folder / "out", [large], SPACE.names, threads=2, archives=[Slow(world.folder / "tars", "train", 1000)])
    assert totals.pairs == 200 and most[0] <= 2 * tree.CHUNK * (tree.AHEAD + 1)


def test_a_full_disk_ends_the_export(world, monkeypatch):
    def fails(image):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tree, "encode_mask", fails)
    with pytest.raises(DiskError, match="the disk is full"):
        world.export()
    assert not (world.folder / "set/train/metadata.csv").exists()


def test_two_pairs_of_one_name_are_refused(world):
    world.shards[1] = write_store(world.folder / "made/shard-0002", 2, first=2)
    with pytest.raises(StoreError, match="two pairs are called made-0000002"):
        world.export()


def test_a_store_of_other_classes_is_refused(world):
    world.val = write_store(world.folder / "other", 3, classes=5)
    with pytest.raises(StoreError, match="of 5 classes, and 200 are named"):
        world.export()


def test_shards_of_other_weights_than_the_generators_are_refused(world):
    files.write_json(world.folder / "generator.json", files.read_json(world.folder / "generator.json") | {"weights_sha256": "b" * 64})
    with pytest.raises(StoreError, match="other weights than the cards"):
        world.export()


def test_parquet_without_pyarrow_is_refused_before_anything_is_written(world, monkeypatch):
    monkeypatch.setattr("satsynth.export.archives.PARQUET", "pyarrow_that_is_not_there")
    with pytest.raises(ConfigError, match="is not installed"):
        world.export(parquet=True)
    assert list((world.folder / "set").iterdir()) == []


def test_descriptors_say_classes_and_places(world):
    place = world.export()
    assert json.loads((place / "classes.json").read_text())["classes"][199] == {"id": 199, "name": "class 199", "color": "#C73807"}
    data = yaml.safe_load((place / "data.yaml").read_text())
    assert (data["train"], data["val"], data["masks_dir"], data["names"][199]) == ("train/images", "val/images", "masks", "class 199")
    config = {}
    exec((place / "mmsegmentation.py").read_text(), config)
    assert config["metainfo"]["classes"] == SPACE.names and config["metainfo"]["palette"][199] == [199, 56, 7]
    dataset = config["train_dataloader"]["dataset"]
    assert (dataset["reduce_zero_label"], dataset["ignore_index"], dataset["img_suffix"]) == (False, IGNORE, ".png")
    assert config["val_dataloader"]["dataset"]["data_prefix"] == {"img_path": "val/images", "seg_map_path": "val/masks"}


def test_without_validation_pairs_nothing_speaks_of_them(world):
    place = world.export(val=False)
    assert not (place / "val").exists()
    assert "val" not in yaml.safe_load((place / "data.yaml").read_text())
    config = {}
    exec((place / "mmsegmentation.py").read_text(), config)
    assert "val_dataloader" not in config and "test_dataloader" not in config
    assert making.VAL not in [split["split"] for split in head(place)["configs"][0]["data_files"]]


def head(place):
    return yaml.safe_load((place / "README.md").read_text().split("---\n")[1])


def test_the_preview_shows_pairs_in_the_colours_of_their_classes(world):
    place = world.export()
    shown = np.array(Image.open(place / "preview.png"))
    expected = np.concatenate([SPACE.paint(mask) for _, mask in world.pairs("train").values()]).reshape(-1, 3)
    colours = set(map(tuple, expected.tolist()))
    assert shown.shape == (2 * 132 + 4, 5 * 132 + 4, 3)
    assert colours <= set(map(tuple, shown.reshape(-1, 3).tolist()))

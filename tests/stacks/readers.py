"""How each stack reads a split of an export: (key, image (H,W,3) uint8 RGB, mask (H,W) uint8) of every pair, in any order."""

import io
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

Pairs = Iterator[tuple[str, np.ndarray, np.ndarray]]
HF = {"train": "train", "val": "validation"}


def _key(row: dict) -> str:
    return f"{row['source']}-{row['index']:07d}"


def _huggingface(path: Path, split: str, image: str, mask: str, facts) -> Pairs:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        for row in datasets.load_dataset(str(path), split=HF[split], cache_dir=cache):
            assert (row[image].mode, row[mask].mode) == ("RGB", "L")
            yield _key(facts(row)), np.array(row[image]), np.array(row[mask])


def huggingface(folder: Path, split: str) -> Pairs:
    """`datasets.load_dataset` of the folder."""
    return _huggingface(folder, split, "image", "mask", dict)


def huggingface_parquet(folder: Path, split: str) -> Pairs:
    """The same of the Parquet files."""
    return _huggingface(folder / "parquet", split, "image", "mask", dict)


def huggingface_tars(folder: Path, split: str) -> Pairs:
    """The same of the tars."""
    return _huggingface(folder / "webdataset", split, "image.png", "mask.png", lambda row: row["json"])


def webdataset(folder: Path, split: str) -> Pairs:
    """The tars as WebDataset reads them."""
    import webdataset as wds

    tars = sorted(map(str, (folder / "webdataset").glob(f"{split}-*.tar")))
    for sample in wds.WebDataset(tars, shardshuffle=False):
        image, mask = (np.array(Image.open(io.BytesIO(sample[name]))) for name in ("image.png", "mask.png"))
        yield sample["__key__"], image, mask


def torchgeo(folder: Path, split: str) -> Pairs:
    """A `NonGeoDataset` over the tree, as docs/export.md has it, in torch's loader."""
    import torch
    from torchgeo.datasets import NonGeoDataset

    class Pairs(NonGeoDataset):
        def __init__(self, root: Path):
            self.images = sorted((root / "images").glob("*.png"))

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, index: int) -> dict:
            path = self.images[index]
            image, mask = (np.array(Image.open(part)) for part in (path, path.parents[1] / "masks" / path.name))
            return {"image": torch.from_numpy(image).permute(2, 0, 1).float(), "mask": torch.from_numpy(mask).long(), "key": path.stem}

    for batch in torch.utils.data.DataLoader(Pairs(folder / split), batch_size=16):
        for key, image, mask in zip(batch["key"], batch["image"], batch["mask"]):
            yield key, image.permute(1, 2, 0).byte().numpy(), mask.byte().numpy()


def ultralytics(folder: Path, split: str) -> Pairs:
    """The dataset that `yolo semantic train data=data.yaml` validates on."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(str(folder / "data.yaml"))
    with Image.open(next((folder / split / "images").glob("*.png"))) as first:
        side = first.width
    found = build_yolo_dataset(get_cfg(overrides={"task": "semantic", "imgsz": side}), data[split], 4, data, mode="val", rect=False)
    for row in found:
        yield Path(row["im_file"]).stem, row["img"].permute(1, 2, 0).numpy(), row["semantic_mask"].byte().numpy()


def mmsegmentation(folder: Path, split: str) -> Pairs:
    """The dataset of `mmsegmentation.py`, built by mmengine from the file, with its own pipeline."""
    if "mmcv.ops" not in sys.modules:
        # mmseg imports what its models need with its datasets: compiled operators, which mmcv-lite does not have. No dataset calls one.
        sys.modules["mmcv.ops"] = types.ModuleType("mmcv.ops")
        sys.modules["mmcv.ops"].point_sample = None
    import mmseg.datasets  # noqa: F401 (they register themselves)
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    config = Config.fromfile(folder / "mmsegmentation.py")
    init_default_scope(config["default_scope"])
    loader = config[f"{split}_dataloader"]["dataset"] | {"pipeline": config["test_pipeline"]}  # without the flips of a training
    found = DATASETS.build(loader)
    assert found.metainfo["classes"] == config["metainfo"]["classes"]
    for row in found:
        image, sample = row["inputs"].permute(1, 2, 0).numpy(), row["data_samples"]
        mask = sample.gt_sem_seg.data[0].numpy()
        assert mask.min() >= 0 and mask.max() <= 255
        yield Path(sample.img_path).stem, np.ascontiguousarray(image[..., ::-1]), mask.astype(np.uint8)  # mmcv's images are BGR


TESTED = (huggingface, huggingface_parquet, huggingface_tars, webdataset, torchgeo)
OTHERS = (ultralytics, mmsegmentation)
PACKAGES = {"huggingface": "datasets", "huggingface_parquet": "datasets", "huggingface_tars": "datasets"}
ARCHIVES = {"huggingface_parquet": "parquet", "huggingface_tars": "webdataset", "webdataset": "webdataset"}

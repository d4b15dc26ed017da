"""LoveDA (Wang et al. 2021): seven land-cover classes at 0.3 m, raw ids 1..7 and 0 for no data."""

from pathlib import Path

from satsynth.datasets.labels import Labels
from satsynth.datasets.scenes import STOPPING, Scene, Stopping, by_key, files_under, paired
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.runtime.errors import DataError

CLASSES = {
    "background": (255, 255, 255),
    "building": (255, 0, 0),
    "road": (255, 255, 0),
    "water": (0, 0, 255),
    "barren": (159, 129, 183),
    "forest": (0, 255, 0),
    "agriculture": (255, 195, 128),
}


def label_space(cfg: dict) -> LabelSpace:
    """The seven classes with the official colours; `cfg` is not read."""
    return LabelSpace(tuple(CLASSES), tuple(CLASSES.values()))


def labels(cfg: dict) -> Labels:
    """Raw id r is class r-1, and 0 (no data) is ignored. Reads cfg["unknown"]."""
    return Labels(len(CLASSES), values={0: IGNORE, **{i + 1: i for i in range(len(CLASSES))}}, unknown=cfg["unknown"])


def scenes(root: Path, split: str, cfg: dict, findings: Stopping = STOPPING) -> list[Scene]:
    """The scenes of {Train,Val}/{Urban,Rural}/{images_png,masks_png}, named as Rural/0; `cfg` is not read.

    Raises:
        DataError: the split is not on disk, no pair is found, or an image has no mask.
    """
    folder = root / split.capitalize()
    areas = [area for area in ("Rural", "Urban") if (folder / area / "images_png").is_dir()]
    if not areas:
        raise DataError(
            folder,
            f"the split {split} of LoveDA is not on disk: neither Urban/images_png nor Rural/images_png is in this folder.",
            "Unpack the split there, or ask for a split that is on disk.",
        )
    images, masks = [], []
    for area in areas:
        images += [(f"{area}/{path.stem}", path) for path in files_under(folder / area / "images_png")]
        masks += [(f"{area}/{path.stem}", path) for path in files_under(folder / area / "masks_png")]
    return paired(
        by_key(images, findings),
        by_key(masks, findings),
        f"images_png and masks_png of {' and '.join(areas)} in {folder}",
        findings=findings,
    )

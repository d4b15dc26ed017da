"""OpenEarthMap (Xia et al. 2023): eight land-cover classes at 0.25 to 0.5 m, raw ids 1..8 and 0 for unknown.

The images that come from xBD are not in the archive, while their labels are: such labels are left out and counted in the log.
"""

from pathlib import Path

from satsynth.datasets.labels import Labels
from satsynth.datasets.scenes import STOPPING, Scene, Stopping, by_key, lines_of, paired
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.runtime.errors import DataError

CLASSES = {
    "bareland": (128, 0, 0),
    "rangeland": (0, 255, 36),
    "developed_space": (148, 148, 148),
    "road": (255, 255, 255),
    "tree": (34, 97, 38),
    "water": (0, 69, 255),
    "agriculture_land": (75, 181, 73),
    "building": (222, 31, 7),
}


def label_space(cfg: dict) -> LabelSpace:
    """The eight classes under the paper's names with the official colours; `cfg` is not read."""
    return LabelSpace(tuple(CLASSES), tuple(CLASSES.values()))


def labels(cfg: dict) -> Labels:
    """Raw id r is class r-1, and 0 (unknown) is ignored. Reads cfg["unknown"]."""
    return Labels(len(CLASSES), values={0: IGNORE, **{i + 1: i for i in range(len(CLASSES))}}, unknown=cfg["unknown"])


def scenes(root: Path, split: str, cfg: dict, findings: Stopping = STOPPING) -> list[Scene]:
    """The scenes that {split}.txt lists, as {region}/{images,labels}/{region}_{number}.tif, in natural order; `cfg` is not read.

    Raises:
        DataError: the list is not on disk, no listed scene has image and label, or a listed image has no label.
    """
    lists = [folder / f"{split}.txt" for folder in (root, root / "OpenEarthMap_wo_xBD")]
    here = [path for path in lists if path.is_file()]
    if not here:
        raise DataError(
            lists[0],
            f"the split {split} of OpenEarthMap is not on disk: this list of file names does not exist.",
            "Put the list there, or ask for a split that is on disk.",
        )
    base = here[0].parent
    images, masks, absent = [], [], 0
    for name in sorted({name for line in lines_of(here[0]) for name in line.split()}):
        stem = Path(name).stem
        region = stem.rpartition("_")[0]
        image, mask = (base / region / part / f"{stem}.tif" for part in ("images", "labels"))
        absent += not image.is_file()
        images += [(stem, image)] if image.is_file() else []
        masks += [(stem, mask)] if mask.is_file() else []
    if absent:
        findings.warning(f"{here[0]}: {absent} listed scenes have no image (those of xBD come separately) and are left out")
    return paired(
        by_key(images, findings),
        by_key(masks, findings),
        f"{{region}}/images and {{region}}/labels in {base} for the names in {here[0].name}",
        findings=findings,
    )

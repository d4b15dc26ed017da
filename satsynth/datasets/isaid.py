"""iSAID (Waqas Zamir et al. 2019): 15 object classes and background, labels by colour or as ready index PNGs.

The colour table is the devkit's; a second one in circulation swaps storage tank and roundabout.
"""

from pathlib import Path

from satsynth.datasets.labels import Labels
from satsynth.datasets.scenes import STOPPING, Scene, Stopping, by_key, files_under, paired
from satsynth.pairs import LabelSpace
from satsynth.runtime.errors import DataError

CLASSES = {
    "background": (0, 0, 0),
    "ship": (0, 0, 63),
    "storage_tank": (0, 63, 63),
    "baseball_diamond": (0, 63, 0),
    "tennis_court": (0, 63, 127),
    "basketball_court": (0, 63, 191),
    "ground_track_field": (0, 63, 255),
    "bridge": (0, 127, 63),
    "large_vehicle": (0, 127, 127),
    "small_vehicle": (0, 0, 127),
    "helicopter": (0, 0, 191),
    "swimming_pool": (0, 0, 255),
    "roundabout": (0, 191, 127),
    "soccer_ball_field": (0, 127, 191),
    "plane": (0, 127, 255),
    "harbor": (0, 100, 155),
}
COLOUR, INSTANCE = "_instance_color_RGB", "_instance_id_RGB"
LAYOUTS = (  # images, masks; the last is the devkit's flat folder
    ("{split}/images", "{split}/masks"),
    ("{split}/images/images", "{split}/Semantic_masks/images"),
    ("{split}/images", "{split}/Semantic_masks/images"),
    ("{split}/images", "{split}/Semantic_masks"),
    ("img_dir/{split}", "ann_dir/{split}"),
    ("{split}/images", "{split}/images"),
)


def label_space(cfg: dict) -> LabelSpace:
    """The 16 classes with the devkit's colours; `cfg` is not read."""
    return LabelSpace(tuple(CLASSES), tuple(CLASSES.values()))


def labels(cfg: dict) -> Labels:
    """RGB masks by the devkit's colours, single-channel ones as ids 0..15 with 255 as ignore. Reads cfg["unknown"]."""
    colours = {colour: number for number, colour in enumerate(CLASSES.values())}
    return Labels(len(CLASSES), values={**{i: i for i in range(len(CLASSES))}, 255: 255}, colours=colours, unknown=cfg["unknown"])


def scenes(root: Path, split: str, cfg: dict, findings: Stopping = STOPPING) -> list[Scene]:
    """The scenes of a split ("train" or "val"), in natural order; `cfg` is not read.

    Accepts the devkit's flat folder, images/ beside masks/ or Semantic_masks/, and img_dir/ beside ann_dir/; a mask has the name of its
    image, with or without `_instance_color_RGB`.

    Raises:
        DataError: the split is not on disk, no pair is found, or an image has no mask.
    """
    layouts = [(root / images.format(split=split), root / masks.format(split=split)) for images, masks in LAYOUTS]
    here = [(images, masks) for images, masks in layouts if images.is_dir() and masks.is_dir()]
    if not here:
        raise DataError(
            layouts[0][0],
            f"the split {split} of iSAID is not on disk: this folder does not exist.",
            "Unpack the split there (docs: iSAID layouts), or ask for a split that is on disk.",
        )
    image_folder, mask_folder = here[0]
    flat = image_folder == mask_folder
    images, masks = [], []
    for path in files_under(image_folder):
        if not path.stem.endswith((COLOUR, INSTANCE)):
            images.append((path.stem, path))
    for path in files_under(mask_folder):
        if path.stem.endswith(COLOUR) or not (flat or path.stem.endswith(INSTANCE)):
            masks.append((path.stem.removesuffix(COLOUR), path))
    return paired(
        by_key(images, findings), by_key(masks, findings), f"images in {image_folder} and masks in {mask_folder}", findings=findings
    )

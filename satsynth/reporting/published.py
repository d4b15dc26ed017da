"""The paper's own numbers, to stand beside those of a run: IoU and F1 in percent, and Table 1a's FID, sFID and IS, as printed.

A number is found by dataset format, size, network, method and R, and by nothing less: `score` and `class_iou` give None for
everything that the paper did not report. Methods are those of a run: None (D alone), satsynth, satsynth_onehot and satsynth_x0 (Table 3),
satsynth_direct (DDPM at 256 px without super-resolution, Table 4), semgan and image_only (Table 1a), cutout, cutmix and copy_paste
(Table 5).
"""

import math
from dataclasses import dataclass

# Tables 2, 4 and 6 do not say how many synthetic pairs were drawn; their numbers are shown beside this R. Nor does Table 1b: its row of
# iSAID is Table 3's R = 3 and Table 5 is at R = 1, so its other rows are shown beside both.
UNSTATED_RATIO = 1
UNSTATED_RATIOS = {"Table 1b": (1, 3), **dict.fromkeys(("Table 2", "Table 4", "Table 6"), (UNSTATED_RATIO,))}


@dataclass(frozen=True)
class Score:
    """One entry of the paper: percent, NaN where it prints none."""

    table: str
    miou: float
    miou_se: float
    f1: float
    f1_se: float


# Table 1b (128 px, FPN), "Ours": format -> mIoU, F1; of the F1 on OpenEarthMap only the integer part, 76, is legible in the source text.
_TABLE_1B = {"loveda": (48.97, 64.83), "openearthmap": (62.24, math.nan)}
# Table 1b (128 px), generative segmenters of D: network and format -> mIoU, F1; on OpenEarthMap only the integer parts of F1 are legible.
_TABLE_1B_RIVALS = {
    ("semgan", "isaid"): (13.01, 18.08),
    ("semgan", "loveda"): (31.75, 42.74),
    ("semgan", "openearthmap"): (40.43, math.nan),
    ("segdiff", "isaid"): (41.25, 54.77),
    ("segdiff", "loveda"): (36.60, 49.93),
    ("segdiff", "openearthmap"): (51.23, math.nan),
}
# Table 2 (iSAID, 256 px): network -> D and D∪D', each mIoU, its standard error, F1, its standard error. Table 4 repeats FPN and SegFormer.
_TABLE_2 = {
    "pfsegnet": ((60.93, 0.62, 74.10, 0.55), (63.71, 0.21, 76.37, 0.17)),
    "farseg": ((62.28, 0.27, 75.16, 0.22), (62.95, 0.25, 75.72, 0.28)),
    "segformer": ((60.95, 0.61, 74.18, 0.55), (62.13, 0.25, 75.10, 0.21)),
    "fpn": ((59.52, 0.19, 72.82, 0.15), (60.65, 0.38, 73.69, 0.33)),
    "pspnet": ((48.95, 2.91, 63.13, 2.83), (56.54, 1.32, 70.16, 1.17)),
}
# Table 3 (iSAID, 128 px, FPN): method and R -> mIoU, F1.
_TABLE_3 = {
    ("satsynth_onehot", 1): (47.98, 62.08),
    ("satsynth_onehot", 3): (49.38, 63.71),
    ("satsynth_x0", 1): (51.00, 65.05),
    ("satsynth_x0", 3): (51.45, 65.54),
    ("satsynth", 1): (51.11, 65.13),
    ("satsynth", 3): (52.13, 66.13),
}
# Table 4 (iSAID, 256 px), DDPM-256: network -> mIoU, F1.
_TABLE_4 = {"fpn": (60.30, 73.22), "segformer": (60.61, 73.85)}
# Table 5 (iSAID, 128 px, FPN): method and R -> mIoU. D is Fig. 5's R = 0; "Ours" is Table 3's R = 1.
_TABLE_5 = {(None, 0): 50.25, ("cutout", 1): 50.47, ("cutmix", 1): 50.60, ("copy_paste", 1): 50.51}
# Table 6 (iSAID, 256 px): network -> IoU of the 16 classes in the order of their ids, D and D∪D'.
_TABLE_6 = {
    "pfsegnet": (
        (98.84, 61.74, 63.21, 76.33, 84.25, 48.98, 54.13, 34.95, 61.66, 41.60, 26.52, 50.43, 67.95, 66.11, 81.41, 56.80),
        (98.93, 63.88, 67.58, 77.11, 87.70, 57.96, 58.01, 40.22, 62.91, 44.70, 27.63, 50.42, 70.28, 69.59, 82.75, 59.71),
    ),
    "farseg": (
        (98.84, 62.45, 68.63, 76.76, 86.15, 57.14, 54.39, 38.95, 61.49, 41.08, 27.50, 45.55, 71.53, 70.45, 81.09, 54.53),
        (98.87, 62.33, 68.16, 74.83, 86.60, 57.73, 57.22, 38.56, 61.35, 40.20, 30.10, 45.53, 74.23, 72.69, 81.69, 57.09),
    ),
    "segformer": (
        (98.83, 61.91, 63.58, 74.35, 84.72, 54.01, 57.74, 40.37, 58.20, 34.32, 32.48, 42.27, 68.25, 72.67, 78.53, 52.83),
        (98.88, 64.17, 64.86, 74.22, 85.86, 58.76, 58.01, 40.19, 59.53, 35.93, 29.69, 46.20, 69.92, 72.73, 79.89, 55.21),
    ),
    "fpn": (
        (98.78, 58.66, 63.72, 76.39, 84.97, 55.32, 58.05, 36.15, 56.82, 34.40, 23.82, 44.52, 63.60, 70.45, 76.57, 50.14),
        (98.82, 59.17, 64.87, 76.53, 85.97, 55.35, 58.28, 36.71, 57.96, 34.54, 23.64, 46.66, 69.79, 71.34, 77.70, 53.05),
    ),
    "pspnet": (
        (98.35, 46.33, 46.43, 68.27, 77.92, 38.63, 46.76, 21.45, 48.28, 18.03, 22.50, 35.96, 55.80, 55.24, 66.36, 36.88),
        (98.60, 51.12, 59.33, 73.58, 84.15, 52.01, 56.20, 32.44, 52.01, 24.45, 26.40, 42.87, 67.08, 70.50, 70.14, 43.69),
    ),
}

# Section 5.1, over all splits: images by format, and what was annotated in them.
IMAGES = {"isaid": 2806, "loveda": 5987, "openearthmap": 5000}
ANNOTATIONS = {"isaid": (655451, "object instances"), "loveda": (166768, "land-cover annotations")}
# Section 5.1: share of a class in the pixels, in percent, as rounded there.
CLASS_PCT = {"isaid": {"small_vehicle": 0.3}}
# Table 1a (128 px): format and method -> FID, sFID, IS, by a segmenter's features.
_TABLE_1A = {
    ("isaid", "semgan"): (10.21, 3.63, 1.11),
    ("loveda", "semgan"): (37.47, 7.16, 3.29),
    ("openearthmap", "semgan"): (16.20, 4.89, 3.13),
    ("isaid", "image_only"): (17.50, 7.07, 1.03),
    ("loveda", "image_only"): (22.70, 2.10, 3.44),
    ("openearthmap", "image_only"): (15.35, 4.87, 3.31),
    ("isaid", "satsynth"): (8.66, 3.10, 1.17),
    ("loveda", "satsynth"): (13.87, 1.87, 3.88),
    ("openearthmap", "satsynth"): (12.09, 2.76, 3.16),
}
# Section 5.1: patches of 256 px by split (LoveDA).
PATCHES = {"loveda": {"train": 40352, "val": 26704}}
# Sections 2 and 5.1: share of foreground pixels, and what the share of background is above, in percent (iSAID).
FOREGROUND_PCT = {"isaid": 2.85}
BACKGROUND_ABOVE_PCT = {"isaid": 97}
# Fig. 7: Pearson's r between the occurrence of the foreground classes and their gain, by format and network (256 px).
OCCURRENCE_R = {("isaid", "pspnet"): -0.47}


def quality(format_name: str, size: int, method: str | None) -> tuple[float, float, float] | None:
    """The paper's FID, sFID and IS (Table 1a, 128 px) of a method, or None; by an evaluator of its own, so no other run reproduces them."""
    return _TABLE_1A.get((format_name, method)) if size == 128 else None


def score(format_name: str, size: int, network: str, method: str | None, ratio: int) -> Score | None:
    """The paper's mIoU and F1 for one training set, or None.

    Args:
        format_name: of the dataset, such as isaid.
        size: side of the pairs in pixels.
        network: module of the segmenter's network, such as fpn.
        method: None for D (with ratio 0), else what made the synthetic pairs of D∪D'.
        ratio: R; entries whose R the paper does not state answer to those of `UNSTATED_RATIOS`.
    """
    plain = {(None, 0): 0, ("satsynth", UNSTATED_RATIO): 1}.get((method, ratio))
    if (format_name, size) == ("isaid", 256):
        if plain is not None and network in _TABLE_2:
            return Score("Table 2", *_TABLE_2[network][plain])
        if (method, ratio) == ("satsynth_direct", UNSTATED_RATIO) and network in _TABLE_4:
            miou, f1 = _TABLE_4[network]
            return Score("Table 4", miou, math.nan, f1, math.nan)
    if (format_name, size, network) == ("isaid", 128, "fpn"):
        if (method, ratio) in _TABLE_3:
            miou, f1 = _TABLE_3[method, ratio]
            return Score("Table 3", miou, math.nan, f1, math.nan)
        if (method, ratio) in _TABLE_5:
            return Score("Table 5", _TABLE_5[method, ratio], *[math.nan] * 3)
    if (size, network, method) == (128, "fpn", "satsynth") and format_name in _TABLE_1B and ratio in UNSTATED_RATIOS["Table 1b"]:
        miou, f1 = _TABLE_1B[format_name]
        return Score("Table 1b", miou, math.nan, f1, math.nan)
    if (size, method, ratio) == (128, None, 0) and (network, format_name) in _TABLE_1B_RIVALS:
        miou, f1 = _TABLE_1B_RIVALS[network, format_name]
        return Score("Table 1b", miou, math.nan, f1, math.nan)
    return None


def class_iou(format_name: str, size: int, network: str, method: str | None, ratio: int) -> tuple[float, ...] | None:
    """The paper's IoU of every class in percent, by class id (Table 6), or None; arguments as in `score`."""
    plain = {(None, 0): 0, ("satsynth", UNSTATED_RATIO): 1}.get((method, ratio))
    if (format_name, size) != ("isaid", 256) or plain is None or network not in _TABLE_6:
        return None
    return _TABLE_6[network][plain]


def class_gains(format_name: str, size: int, method: str | None, ratio: int) -> dict[str, list[float]]:
    """Differences of IoU between D∪D' and D in points, by network and class id (from Table 6); empty where the paper has none."""
    found = {}
    for network in _TABLE_6:
        union = class_iou(format_name, size, network, method, ratio)
        if method is not None and union is not None:
            real = class_iou(format_name, size, network, None, 0)
            found[network] = [after - before for after, before in zip(union, real)]
    return found

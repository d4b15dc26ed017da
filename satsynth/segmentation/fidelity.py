"""How close synthetic pairs come to real training pairs, by an evaluator's features and by their labels (paper, Table 1a)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.metrics import label_statistics as labels
from satsynth.metrics.frechet import Sample, frechet_distance
from satsynth.metrics.inception import are_distributions, inception_score, pixel_inception_score
from satsynth.metrics.kernel import kernel_distance
from satsynth.metrics.manifold import Manifold, density_coverage, precision_recall
from satsynth.pairs import open_view
from satsynth.randomness import numpy_stream
from satsynth.runtime import files
from satsynth.runtime.errors import MeasureError, StoreError
from satsynth.segmentation.learned import check_evaluator

# A set of pairs: folders of features and of stores, of the same rows.
Parts = Sequence[tuple[Path, Path]]


class Measured:
    """N pairs of a set, drawn at random, with their features. `name`, its first store and how many follow, is what errors call it.

    Args:
        parts: folders of features (see `satsynth.segmentation.features.extract`) and of their stores, which are joined in order.
        count: N.
        seed: of the choice.
        role: what the set is called in that choice, so that two sets draw differently.

    Raises:
        StoreError: features were made of other pairs, or by different evaluators, or shards by different weights.
    """

    def __init__(self, parts: Parts, count: int, seed: int, role: str):
        self.evaluator = _same([_evaluator(features, store) for features, store in parts], parts[0][0])
        self.view = open_view([store for _, store in parts])
        self.name = f"{parts[0][1]} and {len(parts) - 1} more" if len(parts) > 1 else str(parts[0][1])
        self.rows = np.sort(numpy_stream(seed, "measured", role).permutation(len(self.view))[:count])
        starts = np.cumsum([0, *map(len, self.view.stores)])
        cut = np.split(self.rows, np.searchsorted(self.rows, starts[1:-1]))
        self._chosen = [(folder, store, rows - start) for (folder, _), store, rows, start in zip(parts, self.view.stores, cut, starts)]

    def __len__(self) -> int:
        return len(self.rows)

    def features(self, name: str) -> np.ndarray:
        """The chosen rows of one feature file, such as pooled.

        Raises:
            MeasureError: a number is NaN or Inf, or probabilities are none; file and row are named.
        """
        parts = []
        for folder, _, rows in self._chosen:
            file = folder / f"{name}.npy"
            parts.append(np.load(file, mmap_mode="r")[rows])
            _check_rows(file, rows, np.isfinite(parts[-1]), "holds NaN or Inf")
            if name == "probabilities":
                _check_rows(file, rows, are_distributions(parts[-1]), "is no distribution: a value is negative, or the sum is not 1")
        return np.concatenate(parts)

    def masks(self) -> list[np.ndarray]:
        """The chosen masks, (n,H,W) uint8 a store."""
        return [np.asarray(store.masks[rows]) for _, store, rows in self._chosen]

    def index(self) -> pd.DataFrame:
        """The chosen rows of the stores' indices."""
        return pd.concat([store.index.iloc[rows] for _, store, rows in self._chosen])


def score(reference: tuple[Path, Path], measured: Parts, cfg: dict, *, device: str) -> dict:
    """All numbers of one source, against real training pairs.

    Args:
        reference: folders of features and store of the real training pairs.
        measured: the same for every store of the source.
        cfg: pairs (the largest N), splits (of IS), subsets and subset_size (of KID), neighbours (of precision and recall),
            coverage_neighbours, seed.
        device: where neighbours are searched.

    Returns:
        count and reference_count (N of either side: the least of `pairs` and what there is), fid, sfid, kid, kid_se, is, is_se, is_logits
        (p(y|x) from averaged logits), is_pixels (every pixel a sample), precision, recall, density, coverage, class_js, presence_js,
        component_distance, invalid, margin, evaluator_sha256. Numbers of labels are null for images without masks.

    Raises:
        StoreError: features of other pairs or other evaluators.
        WeightsError: the evaluator learned other pairs than the reference, or more than these.
        MeasureError: a side has fewer pairs than a number is defined for (two; one more than `neighbours` and, of the reference,
            `coverage_neighbours`; two for each split of the other side), or features are not finite or differ in width.
    """
    real = Measured([reference], cfg["pairs"], cfg["seed"], "reference")
    _check_count(real, max(2, cfg["neighbours"] + 1, cfg["coverage_neighbours"] + 1))
    made = Measured(measured, min(cfg["pairs"], len(real)), cfg["seed"], "measured")
    _check_count(made, max(2, cfg["neighbours"] + 1, 2 * cfg["splits"]))
    _same([real.evaluator, made.evaluator], measured[0][0])
    features, train = reference
    check_evaluator(features / "card.json", files.read_json(features / "card.json")["evaluator_data"], train)
    pooled, other = real.features("pooled"), made.features("pooled")
    # The score's splits are consecutive rows, which are neighbours in a scene: in another order they are alike.
    order = numpy_stream(cfg["seed"], "splits").permutation(len(made))
    probabilities, entropy = made.features("probabilities")[order], made.features("entropy")[order]
    names = {kind: (f"{real.name} ({kind})", f"{made.name} ({kind})") for kind in ("pooled", "spatial")}
    subset = min(cfg["subset_size"], len(real), len(made))
    kid, kid_se = kernel_distance(pooled, other, cfg["subsets"], subset, cfg["seed"], names["pooled"])
    mean, error = inception_score(probabilities[:, 0], cfg["splits"])
    manifold = Manifold(pooled, max(cfg["neighbours"], cfg["coverage_neighbours"]), device, name=names["pooled"][0])
    samples = Manifold(other, cfg["neighbours"], device, name=names["pooled"][1])
    precision, recall = precision_recall(manifold, samples, cfg["neighbours"])
    density, coverage = density_coverage(manifold, samples, cfg["coverage_neighbours"])
    found = {
        "count": len(made),
        "reference_count": len(real),
        "fid": _frechet(names["pooled"], pooled, other),
        "sfid": _frechet(names["spatial"], real.features("spatial"), made.features("spatial")),
        **{"kid": kid, "kid_se": kid_se, "is": mean, "is_se": error},
        "is_logits": inception_score(probabilities[:, 1], cfg["splits"])[0],
        "is_pixels": pixel_inception_score(probabilities[:, 0], entropy, cfg["splits"])[0],
        **{"precision": precision, "recall": recall, "density": density, "coverage": coverage},
        **_labels(real, made),
    }
    return {**{name: _plain(value) for name, value in found.items()}, "evaluator_sha256": real.evaluator}


def _frechet(names: tuple[str, str], *sides: np.ndarray) -> float:
    return frechet_distance(*(Sample(name).add(features) for name, features in zip(names, sides, strict=True)))


def _check_count(side: Measured, least: int) -> None:
    if len(side) < least:
        cause = f"{len(side)} pairs are measured, and the numbers are defined for {least} or more."
        more = "Measure more pairs"
        if any("admission" in store.card for store in side.view.stores):
            more = "Loosen the thresholds of this source, which rejected the other pairs"
        raise MeasureError(side.name, cause, f"{more}, or set measures.neighbours, coverage_neighbours or splits lower.")


def _check_rows(file: Path, rows: np.ndarray, right: np.ndarray, wrong: str) -> None:
    """Refuse a file where `right` (n,...) bool, of the n rows that were taken of it, is not true throughout."""
    right = right.all(tuple(range(1, right.ndim)))
    if not right.all():
        raise MeasureError(file, f"row {rows[np.argmin(right)]} {wrong}.", "Check the evaluator's weights and extract the features again.")


def _labels(real: Measured, made: Measured) -> dict[str, float]:
    quality = labels.code_quality(made.index())
    unlabelled = not any(any(store.card["class_pixels"]) for store in made.view.stores)
    if unlabelled:
        return {**dict.fromkeys(("class_js", "presence_js", "component_distance"), math.nan), **quality}
    truth, found = (labels.describe(side.masks(), real.view.classes) for side in (real, made))
    return {
        "class_js": labels.jensen_shannon(truth.pixel_shares, found.pixel_shares),
        "presence_js": labels.jensen_shannon(truth.presence_shares, found.presence_shares),
        "component_distance": labels.size_distance(truth.component_sizes, found.component_sizes),
        **quality,
    }


def _evaluator(features: Path, store: Path) -> str:
    card = files.read_json(features / "card.json")
    if card["store_sha256"] != files.sha256(store / "card.json"):
        raise StoreError(features, f"these features are not those of the pairs in {store}.", "Extract the features again.")
    return card["evaluator_sha256"]


def _same(hashes: Sequence[str], place: Path) -> str:
    if len(set(hashes)) > 1:
        raise StoreError(place, "features of different evaluators meet.", "Extract all features with one evaluator.")
    return hashes[0]


def _plain(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return None if math.isnan(value) else float(value)

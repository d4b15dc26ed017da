"""Small finished runs, stores and histories on disk for the tests of tables, figures and the page."""

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from satsynth.pairs import LabelSpace, StoreWriter
from satsynth.reporting.runs import Real, Run

SPACE = LabelSpace(("field", "water", "roof"), ((190, 200, 90), (40, 100, 200), (200, 60, 60)))


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_classes(folder: Path, space: LabelSpace = SPACE) -> Path:
    return write_json(folder / "classes.json", space.to_json())


def write_pairs(
    folder: Path, *, count: int, size: int, seed: int = 0, space: LabelSpace = SPACE, scenes: int = 3, noise: float = 12
) -> Path:
    """A store of smooth random fields cut into classes of falling share, painted in plausible colours with texture."""
    stream = np.random.default_rng(seed)
    shares = 0.45 ** np.arange(space.count)
    edges = np.cumsum(shares / shares.sum())[:-1]
    base = np.asarray(space.colours, float) * 0.6 + 40
    with StoreWriter(folder, size=size, classes=space.count, facts={"scenes": min(scenes, count)}) as writer:
        for number in range(count):
            field = ndimage.gaussian_filter(stream.normal(size=(size, size)), size / 10, mode="wrap")
            field = (field - field.mean()) / field.std() + stream.normal(0, 0.4)
            mask = np.searchsorted(np.quantile(stream.normal(size=9999), edges), field).astype(np.uint8)
            image = (
                base[mask]
                + ndimage.gaussian_filter(stream.normal(0, 4 * noise, (size, size)), 1)[..., None]
                + stream.normal(0, noise / 2, (size, size, 3))
            )
            writer.append(image.clip(0, 255).astype(np.uint8), mask, scene=f"scene_{number % scenes}")
    return folder


def scores(confusion: np.ndarray) -> dict:
    """metrics.json of one run, computed the long way: class by class."""
    total = confusion.sum(0)
    iou, f1 = [], []
    for k in range(len(total)):
        hit, truth, said = int(total[k, k]), int(total[k].sum()), int(total[:, k].sum())
        iou.append(hit / (truth + said - hit) if truth + said else None)
        f1.append(2 * hit / (truth + said) if truth + said else None)
    present = [value for value in iou if value is not None]
    return {
        "miou": sum(present) / len(present),
        "f1": sum(v for v in f1 if v is not None) / len(present),
        "iou": iou,
        "f1_per_class": f1,
        "absent": [k for k, value in enumerate(iou) if value is None],
        "classes": len(total),
        "pixels": int(total.sum()),
        "confusion_sha256": "0" * 64,
    }


def write_run(
    root: Path,
    arm: str,
    seed: int,
    confusion: np.ndarray,
    *,
    ratio: int = 0,
    steps: int = 100,
    real: int = 800,
    synthetic: int = 0,
    **other,
) -> Run:
    """A run's folder with a card, metrics and confusion matrices (N, K, K).

    `other`: dataset, size, subject, network, source, method, replica (the source that this seed takes, if not `source`) and generators
    (behind that source; if not given, an augmentation has none and any other source one of its own).
    """
    source = None if ratio == 0 else other.get("source", "cascade")
    taken, subject = other.get("replica", source), other.get("subject", "fpn")
    sets = {"real": "real", "control": "real", "synthetic": f"{taken}-r{ratio}", "union": f"real+{taken}-r{ratio}"}
    segmenter = f"{subject}_half" if arm == "control" else subject
    method = None if ratio == 0 else other.get("method", "satsynth")
    own = f"generator_of_{taken}" if method and method.startswith("satsynth") else ""
    made = (method, other.get("generators", own) if ratio else "")
    place, folder = (other.get("dataset", "demo"), other.get("size", 16)), root / sets[arm] / segmenter / f"seed-{seed}"
    run = Run(*place, sets[arm], segmenter, seed, arm, source, ratio, subject, other.get("network", subject), *made, folder)
    card = {"segmenter": segmenter, "steps": steps, "seed": seed, "real_pairs": 40, "synthetic_pairs": 40 * ratio}
    write_json(run.folder / "card.json", card | {"real_exposures": real, "synthetic_exposures": synthetic, "parameters": 1234567})
    write_json(run.folder / "metrics.json", scores(confusion))
    np.save(run.folder / "confusion.npy", confusion)
    return run


def blur(masks: np.ndarray, error: float, seed: int, classes: int = 3) -> np.ndarray:
    """Confusion matrices (N, K, K) of a segmenter that errs on a share `error` of the pixels of `masks` (N, H, W)."""
    stream = np.random.default_rng(seed)
    found = np.zeros((len(masks), classes, classes), np.int64)
    for number, mask in enumerate(masks):
        said = np.where(stream.random(mask.shape) < error, stream.integers(0, classes, mask.shape), mask)
        np.add.at(found[number], (mask.ravel(), said.ravel()), 1)
    return found


def write_demo(
    root: Path, errors: dict[tuple[str, int], float], seeds: int = 3, scenes: int = 3, background: int | None = None, **other
) -> tuple[list[Run], list[Real]]:
    """Real stores and runs; `errors` maps (arm, R) to the share of wrong pixels, to which each seed adds a little.

    `other` goes to `write_run`; a list of sources as `replicas` is taken by the seeds in turn, and of `chains` the generators behind them.
    """
    replicas, chains = other.pop("replicas", None), other.pop("chains", None)
    train = write_pairs(root / "train", count=8, size=16, seed=1)
    val = write_pairs(root / "val", count=6, size=16, seed=2, scenes=scenes)
    masks = np.load(val / "masks.npy")
    exposures = {"real": (800, 0, 100), "control": (400, 0, 50), "synthetic": (0, 800, 100), "union": (400, 400, 100)}
    runs = []
    for (arm, ratio), error in errors.items():
        real, synthetic, steps = exposures[arm]
        for seed in range(seeds):
            confusion = blur(masks, error + 0.005 * seed, 100 * seed + ratio)
            taken = {"source": replicas[0], "replica": replicas[seed % len(replicas)]} if replicas else {}
            taken |= {"generators": chains[seed % len(chains)]} if chains else {}
            shown = {"ratio": ratio, "steps": steps, "real": real, "synthetic": synthetic}
            runs.append(write_run(root / "runs", arm, seed, confusion, **shown, **taken, **other))
    place = other.get("dataset", "demo"), other.get("size", 16)
    return runs, [Real(*place, train, val, write_classes(root), "demo", background)]

"""One pair of an export made again, from the weights and the recipe, and compared with the files that were exported."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from satsynth.diffusion.sampling import sample_shard
from satsynth.export.recipe import Recipe
from satsynth.export.rows import Part, key
from satsynth.pairs import IGNORE, Store
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, DataError, WeightsError

ENOUGH = 0.999  # of the label pixels, on another kind of device


@dataclass(frozen=True)
class Again:
    """A pair that was made again.

    Args:
        key: name of its files.
        block: absolute indices of the pairs that were sampled with it, as a range.
        image, mask: (H,W,3) and (H,W) uint8, as made now.
        labels_equal: share of the label pixels that are those of the exported mask; pixels that the export masked count for nobody.
        masked: pixels that are 255 in the exported mask alone.
        largest: greatest difference of a colour value, 0 to 255.
        threads: threads of the processor that it was made on; None on an accelerator.
    """

    key: str
    block: range
    image: np.ndarray
    mask: np.ndarray
    labels_equal: float
    masked: int
    largest: int
    threads: int | None

    @property
    def good(self) -> bool:
        """Whether it is the pair that was exported, as nearly as another kind of device comes to it."""
        return self.labels_equal >= ENOUGH

    @property
    def equal(self) -> bool:
        """Whether every pixel of image and labels is the same."""
        return self.labels_equal == 1 and self.largest == 0


def regenerate(folder: Path, index: int, *, weights: Sequence[Path] = (), device: str) -> Again:
    """Make a synthetic pair of an export again; only the block that holds it is sampled.

    On a device of the same kind every pixel is the same; elsewhere rounding errors may turn a few. On a processor the number of threads
    counts as well, which no export tells: one is tried first, as the demo samples, then as many as this process has, unless every pixel
    was the same. What is nearer to the export is returned.

    Args:
        folder: the export.
        index: absolute index of the pair, as its files are called.
        weights: files of weights; where none is given, they are looked for among the generators of the folder of results that holds the
            export.
        device: "cpu" or "cuda".

    Raises:
        WeightsError: no file has the content that the recipe names.
        DataError: the export has no such pair.
        ConfigError: no network made the pairs.
    """
    recipe = Recipe.read(folder / "recipe.json")
    if not recipe.stages:
        cause = f"its pairs are real ones, altered by {recipe.augment}; no weights made them."
        raise ConfigError(folder, cause, "Run the workflow again: shards of augmentations come out the same.")
    name = key(Part(folder, recipe.source, True), index)
    image, mask = (_read(folder / "train" / part / f"{name}.png", mode) for part, mode in (("images", "RGB"), ("masks", "L")))
    found = find_weights(recipe, weights, folder)
    stages = [{"weights": path, "card": stage["card"], "sampler": stage["sampler"]} for path, stage in zip(found, recipe.stages)]
    first = index // recipe.block * recipe.block
    made = []
    for threads in sorted({1, torch.get_num_threads()}) if device == "cpu" else [None]:
        new_image, new_mask = _sampled(recipe, stages, index, device, threads)
        masked = (mask == IGNORE) & (new_mask != IGNORE)
        again = Again(
            key=name,
            block=range(first, first + recipe.block),
            image=new_image,
            mask=new_mask,
            labels_equal=float((new_mask == mask)[~masked].mean()) if not masked.all() else 1.0,
            masked=int(masked.sum()),
            largest=int(np.abs(new_image.astype(int) - image).max()),
            threads=threads,
        )
        made.append(again)
        if again.equal:
            break
    return max(made, key=lambda again: (again.labels_equal, -again.largest))


def _sampled(recipe: Recipe, stages: Sequence[dict], index: int, device: str, threads: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Image (H,W,3) and mask (H,W) uint8 of one pair, sampled on so many threads (None: as many as there are)."""
    options = {"device": device, "classes": recipe.classes, "compile": recipe.compile}
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with tempfile.TemporaryDirectory() as place:
            sample_shard(stages, folder=Path(place), seed=recipe.seed, block=recipe.block, first=index, last=index + 1, **options)
            store = Store.open(place)
            return np.array(store.images[0]), np.array(store.masks[0])
    finally:
        torch.set_num_threads(before)


def find_weights(recipe: Recipe, given: Sequence[Path], folder: Path) -> list[Path]:
    """The file of weights of every stage, told by its content.

    Raises:
        WeightsError: there is none for a stage; the message names the hash.
    """
    results = folder.absolute().parent.parent
    # Cards say which weights lie beside them, so that not every file is read.
    cards = [] if given else sorted(results.glob("*/generators/*/card.json"))
    known = {files.read_json(card).get("weights_sha256"): card.with_name("weights.safetensors") for card in cards}
    for path in given:
        if not path.is_file():
            raise WeightsError(path, "there is no such file.", "Mend its path.")
        known[files.sha256(path)] = path
    found = []
    for stage in recipe.stages:
        wanted = stage["card"]["weights_sha256"]
        if wanted not in known or not known[wanted].is_file():
            where = f"none of {', '.join(map(str, given))}" if given else f"no generator below {results}"
            cause = f"{where} has the weights {wanted} of '{stage['generator']}', which made these pairs."
            raise WeightsError(folder, cause, "Name their file (WEIGHTS=...), or train the generator again.")
        found.append(known[wanted])
    return found


def _read(path: Path, mode: str) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            if picture.mode != mode:
                raise DataError(path, f"it is of mode {picture.mode}, not {mode}.", "Export the set again.")
            return np.array(picture)
    except FileNotFoundError:
        raise DataError(path, "the export has no pair of this index.", "Name an index of a synthetic pair (metadata.csv).") from None
    except OSError as error:
        raise DataError(path, f"it cannot be read ({error}).", "Export the set again.") from error

"""The decoder of labels that are drawn: annotations of a COCO or vector file, onto the rows of an image as they are asked for.

A scene of any height costs its shapes and one strip of rows.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from satsynth.datasets import coco, vectors
from satsynth.datasets.drawing import draw, stacked
from satsynth.datasets.rasters import Raster
from satsynth.datasets.scenes import Scene
from satsynth.label_files import label_kind, plain
from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, DataError


class Shapes:
    """Every pixel becomes the id of the topmost shape that covers it (see `drawing`), or `background` where none does.

    Args:
        classes: K.
        targets: category or attribute value, `plain` -> id or 255. Those of the labels may be written in either of Unicode's forms.
        background: id of what no shape covers; 255 where nothing is said about it.
        unknown: "error", or "ignore" (shapes of a category that no class has become 255).
        field: attribute of vector labels that names the class; None where every shape has the label "".
        layer: of vector labels; None for the only one.

    Raises:
        ConfigError: `targets` is empty or names a class that does not exist.
    """

    def __init__(
        self, classes: int, targets: dict[str, int], background: int, unknown: str, field: str | None = None, layer: str | None = None
    ):
        self.classes, self.targets, self.background, self.unknown = classes, targets, background, unknown
        self.field, self.layer = field, layer
        self.note: Callable[[Path, Counter], None] | None = None  # takes unknown categories instead of an error
        self.stand_ins: Callable[[list[str]], np.ndarray] | None = None  # ids for unknown categories, which then are not 255
        if not targets:
            raise ConfigError("label_map", "it is empty.", "Map at least one category to a class.")
        for label, target in targets.items():
            if not (0 <= target < classes or target == IGNORE):
                raise ConfigError("label_map", f"{label} is mapped to class {target} of {classes}.", "Lengthen classes or mend label_map.")

    @contextlib.contextmanager
    def opened(self, scene: Scene, image: Raster, max_pixels: int) -> Iterator[Callable[[int, int], np.ndarray]]:
        """A function that gives ids (rows, width) uint8 of rows top..bottom-1 of an image; `max_pixels` was asked for the image.

        Raises:
            DataError: the annotations cannot be read or do not fit the image, or have an unknown category and `unknown` is "error".
        """
        if label_kind(scene.mask.name) == "coco":
            found = coco.read(scene.mask).shapes_of(image)
        else:
            found = vectors.shapes_of(scene.mask, self.field, image, self.layer)
        labels = [plain(shape.label) for shape in found]
        strange = Counter(label for label in labels if label not in self.targets)
        if strange and self.note is not None:
            self.note(scene.mask, strange)
        elif strange and self.unknown == "error":
            raise unknown_categories(scene.mask, strange, self.targets, scene.image)
        names = [label for label, _ in strange.most_common()]
        targets = self.targets | (dict(zip(names, self.stand_ins(names).tolist())) if names and self.stand_ins is not None else {})
        shapes = stacked([(shape, targets.get(label, IGNORE)) for shape, label in zip(found, labels, strict=True)])
        yield lambda top, bottom: draw(shapes, self.background, top, bottom, image.width)


def unknown_categories(path: Path, strange: Counter, targets: dict[str, int], image: Path) -> DataError:
    """The error of annotations of categories that no class has; `strange` counts annotations by category."""
    known = sorted(targets, key=lambda label: (targets[label], label))
    worst = ", ".join(f"{repr(label) if label else '(empty)'} ({count})" for label, count in strange.most_common(5))
    more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
    return DataError(
        path,
        f"{strange.total()} annotations, such as some on {image.name}, have a category that no class has: {worst}{more}; known are "
        f"{', '.join(known[:12])}.",
        "Add it to classes or label_map (category: class, or ignore), or set unknown: ignore."
        + (' "": ignore in label_map maps the empty one.' if "" in strange else ""),
    )

"""Labels that are shapes, of which none lies on any image: mostly they are in another coordinate system than they say."""

import copy
from collections.abc import Sequence

from satsynth.datasets import coco, vectors
from satsynth.datasets.rasters import opened
from satsynth.datasets.scenes import Scene
from satsynth.datasets.shapes import Shapes
from satsynth.label_files import label_kind
from satsynth.runtime.errors import DataError, SatsynthError

ROWS = 512  # looked at together
REMEDY_VECTORS = "Assign the coordinate system that the labels really are in (ogr2ogr -a_srs EPSG:CODE), or give labels of this ground."
REMEDY_EMPTY = "There is no shape in the labels: export them again, or give labels of this ground."
REMEDY_COCO = "Give segmentations in pixels of the image that has them, counted from its upper left corner, and check image_id."


def astray(decoder: Shapes, scenes: Sequence[Scene], max_pixels: int) -> DataError | None:
    """The error of label files no shape of which covers a pixel of an image; None where one does, or where an image cannot be asked.

    Args:
        decoder: of the labels.
        scenes: one an image.
        max_pixels: of an image.
    """
    probe = copy.copy(decoder)  # to it, every shape is of a class
    probe.targets, probe.background, probe.unknown, probe.note, probe.stand_ins = {}, 0, "ignore", None, None
    try:
        if any(_covered(probe, scene, max_pixels) for scene in scenes):
            return None
        where = next(filter(None, (_place(probe, scene, max_pixels) for scene in scenes)), "")
    except SatsynthError:
        return None  # which is told as an error of its own
    files = len({scene.mask for scene in scenes})
    which = "no shape of it lies" if files == 1 else f"no shape of it, or of the {files - 1} other label files, lies"
    is_coco = label_kind(scenes[0].mask.name) == "coco"
    remedy = REMEDY_COCO if is_coco else REMEDY_VECTORS if where else REMEDY_EMPTY
    return DataError(scenes[0].mask, f"{which} on any of the {len(scenes)} images.{where}", remedy)


def _covered(probe: Shapes, scene: Scene, max_pixels: int) -> bool:
    with opened(scene.image, max_pixels) as image, probe.opened(scene, image, max_pixels) as rows:
        return any(rows(top, min(top + ROWS, image.height)).any() for top in range(0, image.height, ROWS))


def _place(probe: Shapes, scene: Scene, max_pixels: int) -> str:
    """Where the shapes lie, and where an image does, as a sentence; "" where there are none."""
    with opened(scene.image, max_pixels) as image:
        if label_kind(scene.mask.name) == "coco":
            found = coco.read(scene.mask).shapes_of(image)
            if not found:
                return ""
            rows = min(shape.top for shape in found), max(shape.bottom for shape in found)
            return f" Those of {scene.image.name} lie in rows {rows[0]:g} to {rows[1]:g} of {image.height}."
        shapes, around, system = vectors.extents(scene.mask, image, probe.layer)
    if shapes is None:
        return ""
    place = f"; {scene.image.name} in {_box(around)}" if around else ""
    return f" In {system} they lie in {_box(shapes)}{place}."


def _box(box: vectors.Box) -> str:
    left, bottom, right, top = box
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"

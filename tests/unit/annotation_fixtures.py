"""Images with COCO annotations beside them, and the masks that are drawn from labels of any kind."""

import json

from dataset_fixtures import CFG, picture, save

from satsynth.datasets import folder, tiling
from satsynth.pairs import IGNORE

COCO = {**CFG, "labels": "annotations.json", "label_map": {"road": 1, "house": 2, "cloud": IGNORE}, "background": 0}


def coco(root, annotations, images=None, categories=("road", "house", "cloud"), file="annotations.json"):
    images = images or [{"id": 1, "file_name": "a.png", "height": 20, "width": 24}, {"id": 2, "file_name": "zz.png"}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": n, "name": name} for n, name in enumerate(categories)]}
    (root / file).write_text(json.dumps(content))


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def images(root, *names):
    for number, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(seed=number))


def drawn(root, cfg=COCO, name="a"):
    scenes = {scene.name: scene for split in ("train", "val") for scene in folder.scenes(root, split, cfg)}
    with tiling.open_scene(scenes[name], folder.labels(cfg), cfg) as (height, _, _, rows):
        return rows(0, height)

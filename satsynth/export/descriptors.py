"""Thin files that say to each reader where images and masks lie, and what the classes are."""

import yaml

from satsynth.pairs import IGNORE, LabelSpace


def hexadecimal(colour: tuple[int, int, int]) -> str:
    """A colour as "#RRGGBB"."""
    return "#{:02X}{:02X}{:02X}".format(*colour)


def classes(space: LabelSpace) -> dict:
    """`classes.json`: id, name and display colour of every class, and the id that means unlabelled."""
    listed = [
        {"id": number, "name": name, "color": hexadecimal(colour)} for number, (name, colour) in enumerate(zip(space.names, space.colours))
    ]
    return {"classes": listed, "ignore": IGNORE}


def ultralytics(space: LabelSpace, has_val: bool) -> str:
    """`data.yaml` of a semantic segmentation with Ultralytics: it finds the mask of `train/images/KEY.png` at `train/masks/KEY.png`.

    There is no key `path`, so the folder may be moved: paths are relative to this file.
    """
    value = {"train": "train/images"} | ({"val": "val/images"} if has_val else {})
    value |= {"masks_dir": "masks", "names": dict(enumerate(space.names))}
    head = "# Ultralytics, task semantic: masks are 8-bit class ids, 255 is not counted.\n"
    if not has_val:
        head += "# This export has no validation pairs: add `val: FOLDER/images`, with masks in FOLDER/masks.\n"
    return head + yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def mmsegmentation(space: LabelSpace, has_val: bool) -> str:
    """A config of mmsegmentation 1.x that others name in `_base_`: datasets and loaders, no model."""
    loading = "dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', imdecode_backend='pillow')"
    lines = [
        "# mmsegmentation 1.x: name this file in `_base_`. Masks are 8-bit class ids, 255 is not counted.",
        "default_scope = 'mmseg'",
        "data_root = '{{ fileDirname }}'",
        f"metainfo = dict(classes={space.names!r}, palette={[list(colour) for colour in space.colours]!r})",
        f"num_classes = {space.count}",
        "flips = dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical'])",
        f"train_pipeline = [{loading}, flips, dict(type='PackSegInputs')]",
        f"test_pipeline = [{loading}, dict(type='PackSegInputs')]",
    ]
    for loader, split, pipeline in (("train", "train", "train"), *((name, "val", "test") for name in ("val", "test") if has_val)):
        lines += [
            f"{loader}_dataloader = dict(",
            f"    batch_size={16 if loader == 'train' else 1},",
            "    num_workers=2,",
            f"    sampler=dict(type={'InfiniteSampler' if loader == 'train' else 'DefaultSampler'!r}, shuffle={loader == 'train'}),",
            "    dataset=dict(",
            "        type='BaseSegDataset',",
            "        data_root=data_root,",
            f"        data_prefix=dict(img_path='{split}/images', seg_map_path='{split}/masks'),",
            "        metainfo=metainfo,",
            "        img_suffix='.png',",
            "        seg_map_suffix='.png',",
            "        reduce_zero_label=False,",
            f"        ignore_index={IGNORE},",
            f"        pipeline={pipeline}_pipeline,",
            "    ),",
            ")",
        ]
    if has_val:
        lines += ["val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])", "test_evaluator = val_evaluator"]
    return "\n".join(lines) + "\n"

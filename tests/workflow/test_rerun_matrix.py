"""The rerun matrix: every leaf of the config, and by hand the rules that a change of it runs. A leaf without a row fails."""

import fnmatch

import pytest
from checkout import TINY, Checkout
from dry_runs import plan_all
from presets import preset, read

from satsynth.plan.config import merge, resolve
from satsynth.plan.validation import validate

NAMES = ["field", "tree", "soil", "water", "road", "house", "car"]

# One dataset made by the demo, one of somebody's own imagery, so that every kind of leaf is there.
MATRIX = {
    "run": [
        *("gain", "extra", "classes", "data", "class_distribution", "pairs", "upscaling", "ratio_curve", "training_curves"),
        *(
            "occurrence",
            "class_forest",
            "confusion",
            "predictions",
            "fidelity",
            "memorisation",
            "contrast",
            "methods",
            "denoising",
            "trainset",
        ),
    ],
    "measures": {"evaluator": "fpn"},
    "data_root": "data",
    "datasets": {
        "town": {
            "root": "town",
            "images": "images",
            "labels": "masks",
            "classes": [{"name": name, "color": f"#0000{10 + number}"} for number, name in enumerate(NAMES)],
            "label_map": {str(number): name for number, name in enumerate(NAMES)},
            "ignore": 77,
            "licence": "CC0",
            "patches": {"stride": 64},
        }
    },
    "sources": {"cutmix": {"augment": "cutmix", "size": 64}},
    "segmenters": {"fpn": {"training": {"clip": 5.0}}, "farseg": {}, "pfsegnet": {}, "segdiff": {}},
    "experiments": {
        "gain": {"datasets": ["demo", "town"], "seeds": [0]},
        "extra": {
            "view": "gain",
            "size": 64,
            "datasets": ["demo"],
            "grid": [
                {"segmenters": ["fpn"], "sources": ["cutout", "cutmix", "copy_paste"], "ratios": [0, 1]},
                {"segmenters": ["pspnet", "segformer", "farseg", "pfsegnet", "segdiff"], "sources": [], "ratios": [0]},
            ],
        },
        "classes": {"extends": "extra", "view": "per_class"},
        "fidelity": {"view": "fidelity", "size": 64, "datasets": ["demo"], "sources": ["cascade"]},
    },
    "figures": {
        "occurrence": {"view": "occurrence", "experiment": "classes"},
        "memorisation": {"view": "memorisation", "source": "cascade"},
        "contrast": {"view": "contrast", "first": "cascade", "second": "cutout"},
        "methods": {"view": "methods", "source": "cascade"},
    },
}

PAGE = {"write_report"}
GALLERY = {"pack_gallery", "build_gallery"}  # of the demo's cascade
FIGURE = {"draw_figure"} | PAGE
TABLE = {"tabulate_runs"} | FIGURE  # the ratio curve is drawn from the table
EVALUATION = {"evaluate_segmenter"} | TABLE
RUNS = {"train_segmenter"} | EVALUATION
EXPORT = {"export_pairs_trainset"}  # of the demo's cascade, with its measures
SCORES = {"score_fidelity", "tabulate_fidelity"} | PAGE | EXPORT
SEARCH = {"find_neighbours", "tabulate_fidelity"} | FIGURE | GALLERY | EXPORT
ALONE = {"train_segmenter", "evaluate_segmenter", "tabulate_fidelity"} | PAGE  # runs of a fidelity table that no other table shares
MEASURES = {"extract_features"} | SCORES | SEARCH  # of the demo's cascade, by its fpn
SHOWN = {"predict_masks"}  # of the demo's fpn on D and on D with the cascade's pairs
TRACED = {"trace_denoising"}  # of the demo's `base`
AUGMENTED = {"augment_pairs"} | RUNS  # of the demo's pairs
SHARDS = {"sample_pairs"} | RUNS | GALLERY
GENERATOR = {"train_generator"} | SHARDS
DEMO = {"tile_patches_demo"} | GENERATOR | TRACED | AUGMENTED | SHOWN | MEASURES
DEMO_VAL = {"tile_patches_demo"} | EVALUATION | SHOWN | MEASURES
TOWN = ({"tile_patches_town"} | GENERATOR) - GALLERY
TOWN_VAL = {"tile_patches_town"} | EVALUATION
CLASSES = {"describe_classes"} | TABLE
CHAIN = SHARDS | TRACED | SHOWN | MEASURES  # of G in `base` and in the cascade
NOTHING: set[str] = set()

# (leaf, another value, rules). `*` stands for one or more keys; the first row that fits a leaf counts.
ROWS = [
    ("run", ["gain"], PAGE),
    ("data_root", None, "elsewhere"),
    ("preset", None, "elsewhere"),
    ("dataset", None, "elsewhere"),
    ("devices.wait_seconds", 5, NOTHING),
    ("devices.threads", 3, NOTHING),
    ("devices.cpu_threads", 2, NOTHING),
    ("*.gpu", 2, NOTHING),  # how many devices share a job
    ("report.title", "Another title", PAGE | {"build_gallery"}),
    ("report.gallery.sources", ["cutout"], {"augment_pairs", "extract_features", "find_neighbours"} | GALLERY | PAGE),  # of town, too
    ("report.gallery.*", "other", GALLERY | PAGE),
    # Raw data and how they are read
    ("datasets.demo.world.scenes", 5, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.world.size", 192, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.world.zoom", 2, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.world.seed", 9, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.format", None, "elsewhere"),
    ("datasets.town.format", "isaid", "elsewhere"),
    ("datasets.town.root", "elsewhere", "elsewhere"),
    ("datasets.*.licence", "CC-BY-4.0", PAGE),
    ("datasets.demo.background", 0, AUGMENTED),
    ("datasets.town.background", 0, TABLE),  # nothing of it is augmented
    ("datasets.town.classes", "rename", CLASSES),
    ("datasets.town.label_map.*", "ignore", TOWN),
    ("datasets.demo.label_map", {"0": "ignore"}, "elsewhere"),
    ("datasets.*.held.share", 0.4, NOTHING),
    ("datasets.*.held.seed", 4, NOTHING),  # no training set of this config is built on fit
    ("datasets.*.patches.remainder.val", "drop", "val"),
    ("datasets.*.patches.reduced", [16], "elsewhere"),
    ("datasets.*.patches.size", None, "elsewhere"),
    ("datasets.*.patches.*", {"stride": 32, "resize": 128, "max_ignore": 0.5, "max_pixels": 10**8, "train": "drop"}, "tiles"),
    ("datasets.*.split.by", None, "elsewhere"),
    ("datasets.*.split.*", {"val": 0.5, "seed": 3}, "tiles"),
    ("datasets.*.images", "pictures", "tiles"),
    ("datasets.*.labels", "truth", "tiles"),
    ("datasets.*.ignore", 88, "tiles"),
    ("datasets.*.unknown", "ignore", "tiles"),
    ("datasets.*.bands", [3, 2, 1], "tiles"),
    ("datasets.*.scale", "auto", "tiles"),
    # Generators and sources
    ("generators.*.kind", None, "elsewhere"),
    ("generators.*.size", None, "elsewhere"),
    ("generators.*.low", None, "elsewhere"),
    ("generators.*.split", None, "elsewhere"),
    ("generators.*.codes", "other", GENERATOR | TRACED | SHOWN | MEASURES),  # of all stages at once
    ("generators.satsynth.*", "other", GENERATOR | TRACED | SHOWN | MEASURES),
    ("generators.*", "other", GENERATOR | SHOWN | MEASURES),
    ("sources.base.sampler.*", "other", CHAIN),  # of both sources that the upscaling figure shows, here and below
    ("sources.base.seed", 7, CHAIN),
    ("sources.base.block", 2, CHAIN),
    ("sources.cascade.sampler.*", "other", CHAIN),
    ("sources.cascade.seed", 7, CHAIN),
    ("sources.cascade.block", 2, CHAIN),
    ("sources.base.shards", 3, {"sample_pairs"} | FIGURE),
    ("sources.base.compile", True, {"sample_pairs"} | FIGURE),
    ("sources.*.generator", None, "elsewhere"),
    ("sources.*.then", None, "elsewhere"),
    ("sources.cascade.*", "other", SHARDS | SHOWN | MEASURES),
    ("sources.*.augment", None, "elsewhere"),
    ("sources.*.size", None, "elsewhere"),
    ("sources.*.split", None, "elsewhere"),
    ("sources.*", "other", AUGMENTED),
    # Segmenters
    ("segmenters.*.network", None, "elsewhere"),
    ("segmenters.fpn.exposures", None, "elsewhere"),
    ("segmenters.pspnet_exposures.*", "other", NOTHING),  # a control of `augmentations`, which is not in this `run`
    ("segmenters.*.evaluation.*", "other", EVALUATION | {"tabulate_fidelity"}),  # of fpn, which it trains on the cascade alone
    ("segmenters.segdiff.sampler.method", "ancestral", EVALUATION),  # how a trained network predicts
    ("segmenters.segdiff.sampler.spacing", "karras", EVALUATION),
    ("segmenters.segdiff.sampler.variance", "fixed_small", EVALUATION),
    ("segmenters.segdiff.sampler.*", "other", EVALUATION),
    ("segmenters.segdiff.ensemble.combine", "vote", EVALUATION),
    ("segmenters.segdiff.ensemble.*", "other", EVALUATION),
    ("segmenters.fpn.*", "other", RUNS | SHOWN | MEASURES),
    ("segmenters.*", "other", RUNS),
    # Measures
    ("measures.evaluator", "pspnet", MEASURES),  # trained for `extra` already
    ("measures.evaluator_seed", 1, {"train_segmenter"} | MEASURES),
    ("measures.null_quantile", 0.05, {"tabulate_fidelity"} | FIGURE | GALLERY | EXPORT),
    ("measures.pixels", 16, SEARCH),
    ("measures.neighbours", 2, SCORES),
    ("measures.coverage_neighbours", 2, SCORES),
    ("measures.*", "other", SCORES),
    # Nothing is admitted here: tests/workflow/test_selection_run.py
    ("admission.judge", "pspnet", NOTHING),
    ("admission.seed", 1, NOTHING),
    ("admission.min_pixels", 5, NOTHING),
    # Tables and figures
    ("experiments.fidelity.title", "Other words", {"tabulate_fidelity"} | PAGE),
    ("experiments.fidelity.sources", ["cascade", "cutout"], (MEASURES - {"draw_figure"} - EXPORT) | ALONE),
    ("experiments.fidelity.alone", "pspnet", ALONE),
    ("experiments.fidelity.seeds", [0, 1], ALONE),
    ("experiments.*.size", None, "elsewhere"),
    ("experiments.*.view", None, "elsewhere"),
    ("experiments.*.base", None, "elsewhere"),
    ("experiments.gain.datasets", ["demo"], TABLE),
    ("experiments.gain.seeds", [0, 1], RUNS),
    ("experiments.data.*", None, "elsewhere"),
    ("experiments.fidelity.*", None, "elsewhere"),
    ("experiments.*.sources", None, "elsewhere"),
    ("experiments.augmentations.*", None, "elsewhere"),
    ("experiments.*.datasets", None, "elsewhere"),
    ("experiments.*.seeds", None, "elsewhere"),
    ("experiments.extra.title", "Other words", {"tabulate_runs"} | PAGE),  # no figure is drawn from it, and `classes` has its own
    ("experiments.*.title", "Other words", TABLE),
    ("experiments.*.confidence", 0.9, TABLE),
    ("experiments.*.replicates", 60, TABLE),
    ("experiments.*.bootstrap_seed", 4, TABLE),
    ("experiments.*.choice_confidence", None, "elsewhere"),
    ("experiments.gain.grid", "more", SHARDS - GALLERY),
    ("experiments.*.grid", None, "elsewhere"),
    ("figures.*.view", None, "elsewhere"),
    ("figures.*.dataset", None, "elsewhere"),
    ("figures.*.source", None, "elsewhere"),
    ("figures.*.low", None, "elsewhere"),
    ("figures.contrast.first", "cutout", FIGURE),
    ("figures.contrast.second", "copy_paste", FIGURE),
    ("figures.*.experiment", None, "elsewhere"),
    ("figures.*.generators", ["satsynth"], FIGURE),
    ("figures.denoising.moments", 3, TRACED | FIGURE),
    ("figures.denoising.count", 3, TRACED | FIGURE),
    ("figures.predictions.segmenters", ["fpn"], FIGURE),
    ("figures.predictions.count", 3, SHOWN | FIGURE),
    ("figures.predictions.seed", 3, SHOWN | FIGURE),
    ("figures.predictions.batch", 3, SHOWN | FIGURE),
    ("figures.*", "other", FIGURE),
    # Exports
    ("exports.*.dataset", None, "elsewhere"),
    ("exports.*.source", None, "elsewhere"),
    ("exports.*.ratio", 2, {"sample_pairs", "find_neighbours"} | EXPORT),
    ("exports.*", "other", EXPORT),
]

# Rows said "elsewhere" change what a name means (another format, size or chain), not a number: each has its words here.
ELSEWHERE = {
    "dataset": "other paths: tables and figures of another dataset, whose keys have rows of their own",
    "preset": "replaces every number: each of them has a row of its own",
    "data_root": "test_reruns: the place of the raw files is no part of what a job depends on",
    "datasets.town.root": "test_reruns: likewise",
    "datasets.*.format": "another reader: the same rule under other params (test_the_words_of_names)",
    "datasets.demo.label_map": "the demo knows its own labels and reads no map",
    "datasets.*.patches.size": "other paths (64px -> 128px): nothing of the old ones runs again",
    "datasets.*.patches.reduced": "other paths, likewise",
    "generators.*.kind": "another module with other keys",
    "generators.*.size": "other paths, likewise",
    "generators.*.low": "other paths, likewise",
    "generators.*.split": "other pairs, in an experiment of another base: tests/workflow/test_selection_run.py",
    "sources.*.split": "likewise",
    "sources.*.generator": "test_the_words_of_names",
    "sources.*.then": "other paths, likewise",
    "segmenters.*.network": "another module with other keys",
    "sources.*.augment": "another module with other keys",
    "sources.*.size": "other paths, likewise",
    "experiments.*.size": "other paths, likewise",
    "experiments.*.view": "another table; a ratio curve is drawn from gain tables only",
    "experiments.*.base": "test_the_words_of_names",
    "segmenters.fpn.exposures": "its control must keep half of it, so that one change of both is another experiment",
    "experiments.augmentations.*": "not in this `run`; its keys are those of `extra`",
    "experiments.data.*": "a table without runs: its keys are those of the others",
    "experiments.fidelity.*": "a table without intervals: its other keys are not read",
    "experiments.*.choice_confidence": "read by tables of view selection only: tests/workflow/test_selection_run.py",
    "experiments.*.sources": "read by tables of view fidelity only",
    "experiments.*.datasets": "said of experiments.gain",
    "experiments.*.seeds": "said of experiments.gain",
    "experiments.*.grid": "said of experiments.gain",
    "datasets.*.split.by": "one of its values is `scene`, the others are wildcards of patterns",
    "figures.*.view": "another module with other keys",
    "figures.*.dataset": "test_the_words_of_names",
    "figures.*.source": "test_the_words_of_names",
    "figures.*.low": "test_the_words_of_names",
    "exports.*.dataset": "test_the_words_of_names",
    "exports.*.source": "test_the_words_of_names",
    "figures.*.experiment": "another table or other runs: test_every_network plans both kinds",
}


def matrix_config():
    return merge(merge(read("config.yaml"), read(TINY)), MATRIX)


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from leaves(entry, (*path, str(key)))
    else:
        yield path, value


# What every segmenter has is changed in fpn; of the others, what only they have.
OWN = {"depth", "dilated", "decoder_width", "classifier_kernel", "stem", "points", "loss", "sampler", "ensemble"}
LEAVES = {
    path: value
    for path, value in leaves(resolve(matrix_config(), preset("tiny")))
    if path[0] != "segmenters" or path[1] == "fpn" or path[2] in OWN
}


def row_of(path):
    return next((row for row in ROWS if fnmatch.fnmatchcase(".".join(path), row[0])), None)


def other(path, value):
    """Another valid value of a leaf that has no special one."""
    key = path[-1]
    special = {
        **{"codes": "onehot", "prediction": "v", "flips": "h", "precision": "float32", "kind": "cosine", "encoder": "resnet34"},
        **{"encoder_weights": "imagenet", "min_snr": 4.0, "condition_noise": {"max": 0.3}, "sigma_data": [0.4, 0.8]},
        **{"multipliers": [1, 2], "attention": [8], "dropout": 0.1, "unshuffle": 2 if value == 1 else 1},
        **{"method": "ddim", "spacing": "uniform", "variance": "fixed_large", "eta": 0.5, "condition_level": 0.07},
        **{"sigma_min": 0.07, "sigma_max": 30.0, "shards": 3, "exposures": 0.7},
        **{"fill": "black", "label": 0, "scale": [0.5, 1.5], "components": [2, 4], "keep": 0.4},
        **{"depth": 5, "stem": "plain", "classifier_kernel": 3, "mode": "scenes", "ratio": 1, "segmenter": "fpn"},
        **{"optimizer": "adam", "decay": "constant", "betas": [0.8, 0.99], "momentum": 0.5, "weight_decay": 0.3, "power": 0.8, "clip": 2.0},
    }
    if isinstance(value, bool):
        return not value
    if path[-2:] == ("ema", "decay"):
        return 0.5
    if path[-2:] == ("edm", "prior"):
        return None if value else "measured"
    if path[-2] == "loss" and key in ("kind", "schedule"):
        return {"kind": "cross_entropy", "schedule": "linear"}[key]
    if path[-2:] == ("sampler", "clip"):
        return not value
    if key in special:
        return special[key]
    if isinstance(value, str):
        return value + " otherwise"
    return value + 1 if isinstance(value, int) else value * 0.9


def changed(path, value, row):
    """The overlay that changes one leaf, and the rules that must run."""
    wanted, rules = row[1], row[2]
    if wanted == "other":
        wanted = other(path, value)
    elif wanted == "rename":
        wanted = [{**entry, "color": "#ff0000"} if entry["name"] == "car" else entry for entry in value]
    elif wanted == "more":
        wanted = [{**value[0], "ratios": [0, 1, 2]}]
    elif isinstance(wanted, dict) and path[-1] in wanted:
        wanted = wanted[path[-1]]
    if rules == "tiles":
        rules = DEMO if path[1] == "demo" else TOWN
    elif rules == "val":
        rules = DEMO_VAL if path[1] == "demo" else TOWN_VAL
    assert wanted != value, f"{'.'.join(path)}: {wanted} is no other value"
    overlay = wanted
    for key in reversed(path):
        overlay = {key: overlay}
    if rules is CHAIN:  # a figure shows that the cascade's pairs come from those of `base`: one without the other is refused
        overlay = {"sources": dict.fromkeys(("base", "cascade"), overlay["sources"][path[1]])}
    if path[-1] == "min_snr":  # EDM has a weighting of its own
        overlay = merge(overlay, {"generators": {path[1]: {"prediction": "x0"}}})
    if path[-1] == "codes":  # the stages of a cascade share them, and the methods figure draws bits alone
        stages = {entry[1] for entry in LEAVES if entry[0] == "generators"}
        shown = [name for name in matrix_config()["run"] if name != "methods"]
        overlay = {"generators": {name: {"codes": wanted} for name in stages}, "run": shown}
    return overlay, rules


@pytest.fixture(scope="module")
def checkout(finished, tmp_path_factory):
    import shutil

    made = Checkout(tmp_path_factory.mktemp("matrix") / "satsynth")
    shutil.copytree(finished.folder / "results", made.folder / "results", copy_function=shutil.copy2)
    shutil.copytree(finished.folder / ".snakemake", made.folder / ".snakemake", copy_function=shutil.copy2)
    shutil.copytree(finished.folder / "results/demo/raw", made.folder / "data/town")
    made.overlay("matrix.yaml", MATRIX)
    made.run(configs=(TINY, "matrix.yaml"))
    return made


def test_every_leaf_has_a_row():
    missing = [".".join(path) for path in LEAVES if row_of(path) is None]
    assert not missing, f"give these leaves a row: {missing}"


def test_every_row_has_a_leaf():
    used = {row_of(path)[0] for path in LEAVES}
    assert not [row[0] for row in ROWS if row[0] not in used]


def test_every_other_value_is_valid_and_another_one():
    base = matrix_config()
    for path, value in LEAVES.items():
        row = row_of(path)
        if row[2] != "elsewhere":
            config = merge(base, changed(path, value, row)[0])
            validate(config, read("rules/schemas/config.schema.yaml"))
            resolve(config, preset("tiny"))


def test_every_row_without_rules_has_its_words():
    unsaid = [
        ".".join(path)
        for path in LEAVES
        if row_of(path)[2] == "elsewhere" and not any(fnmatch.fnmatchcase(".".join(path), key) for key in ELSEWHERE)
    ]
    assert not unsaid


def test_every_leaf_runs_exactly_its_rules(checkout):
    cases = [(path, *changed(path, value, row)) for path, value in LEAVES.items() if (row := row_of(path))[2] != "elsewhere"]
    assert len(cases) > 150

    names = [checkout.overlay(f"leaf-{'.'.join(path)}.yaml", overlay) for path, overlay, _ in cases]
    found = plan_all(checkout, [(TINY, "matrix.yaml", name) for name in names])
    ran = {".".join(path): (set(jobs), rules) for (path, _, rules), jobs in zip(cases, found, strict=True)}
    wrong = {leaf: {"runs": sorted(jobs), "row": sorted(rules)} for leaf, (jobs, rules) in ran.items() if jobs != rules}
    assert not wrong


def test_the_words_of_names(checkout):
    """What a name means: a figure of another source is drawn again, a source of another generator is sampled again, and so on."""
    second = {"generators": {"second": {"extends": "satsynth", "seed": 5}}}
    cases = [
        ({**second, "sources": {"cascade": {"generator": "second"}, "base": {"generator": "second"}}}, {"train_generator"} | CHAIN),
        ({"figures": {"class_distribution": {"source": "base"}}}, FIGURE),  # the upscaling figure has all its shards made
        (
            {
                "experiments": {"gain": {"base": "fit", "grid": [{"segmenters": ["fpn"], "sources": [], "ratios": [0]}]}},
                "run": ["gain"],
            },
            ({"cut_fit"} | RUNS) - {"draw_figure"},  # no figure is in this `run`
        ),
        ({"figures": {"class_distribution": {"dataset": "town"}}}, FIGURE),
        (
            {
                "sources": {"again": {"extends": "cascade", "sampler": {"steps": 3}}},
                "experiments": {"fidelity": {"sources": ["cascade", "again"], "baseline": "cascade"}},
            },
            {"sample_pairs", "compare_labels"} | ALONE | (MEASURES - {"draw_figure"} - EXPORT),
        ),
        (
            {"datasets": {"town": {"format": "demo", "world": {"scenes": 4, "size": 128, "seed": 0}}}},
            {"generate_scenes_town"} | TOWN | {"describe_classes"},
        ),
        # The gallery shows what is exported.
        ({"exports": {"trainset": {"source": "cutout", "measures": False}}}, EXPORT | GALLERY | PAGE),
        ({"exports": {"trainset": {"dataset": "town", "measures": False}}}, EXPORT | GALLERY | PAGE),
    ]
    for number, (overlay, rules) in enumerate(cases):
        name = checkout.overlay(f"name-{number}.yaml", overlay)
        assert set(checkout.planned(configs=(TINY, "matrix.yaml", name))) == rules, overlay

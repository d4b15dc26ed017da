"""The rerun matrix: every leaf of the config, and by hand the rules that a change of it runs. A leaf without a row fails."""

import fnmatch
import shutil

import pytest
from checkout import TINY
from dry_runs import plan_all
from presets import preset, read
from rerun_rows import ALONE, CHAIN, DEMO, DEMO_VAL, ELSEWHERE, EXPORT, FIGURE, GALLERY, MEASURES, PAGE, ROWS, RUNS, TOWN, TOWN_VAL

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
    made = finished.copied(tmp_path_factory.mktemp("matrix") / "satsynth")
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

"""Config values that nobody meant: each config is planned, or refused by one error that names a key, a cause and a remedy."""

import copy
import random
import re

import pytest
from mutations import snapshot, survey
from planning import SCHEMA, load, planned, raw_folders, sane
from presets import read

from satsynth.plan.config import merge
from satsynth.runtime.errors import SatsynthError

# What a user may lay over config.yaml, in the order of the command line.
BASES = {
    "config.yaml": [],
    "tiny": ["tiny"],
    "tiny_all": ["tiny_all"],
    "dubai": ["dubai"],
    "paper": ["paper"],
    "paper_loveda": ["paper", "paper_loveda"],
    "demo_generators": ["demo_generators"],
    "sampler_sweep": ["sampler_sweep"],
    "selection": ["selection"],
    "own": [],
    "annotated": [],
}
OWN = {
    "dataset": "mytown",
    "data_root": "data",
    "datasets": {
        "mytown": {
            "root": "mytown",
            "images": "images/{id}.png",
            "labels": "masks/{id}_mask.png",
            "classes": ["background", {"name": "road", "color": "#112233"}, "building"],
            "background": 0,
            "label_map": {0: "background", "128": "road", "#FF0000": "building", 7: "ignore"},
            "bands": [3, 2, 1],
            "scale": [0, 4000],
            "split": {"val": {"id": ["a", "b"]}},
            "patches": {"size": 64, "reduced": [32], "stride": 32, "remainder": {"train": "shift", "val": "pad"}, "resize": 512},
            "licence": "none",
        }
    },
    "report": {"title": "My town"},
}
# The same with labels that are drawn, and blocks of space.
ANNOTATED = {
    "root": "mytown",
    "images": "images/{id}.tif",
    "labels": "labels/town.gpkg",
    "label_field": "kind",
    "classes": ["background", "road", "building"],
    "background": 0,
    "label_map": {"Strasse": "road", 7: "building", "cloud": "ignore"},
    "split": {"by": "block", "block": 256, "val": 0.2, "seed": 0},
    "patches": {"size": 64, "reduced": [32]},
}
HOSTILE = [
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "a b", "a\tb", "a\nb", "a\rb", "'", '"', "''\"\"", "\\", "\0",
    "a\0b", "../../etc/passwd", "..", ".", "/", "//", "/etc/passwd", "~", "~/x", "-rf", "--config", "-", "*", "?", "[a-z]", "{", "}",
    "{}", "{dataset}", "{a}{b}", "{a}{a}", "{a}{b}{c}{d}{e}{f}{g}{h}", "{0}", "{a!r}", "{a.__class__}", "%s", "%n%n", "$HOME",
    "${PATH}", "é", "漢字", "😀", "\u202e", "\ud800", "\ufeff", "\x1b[31m", "a" * 41, "a" * 300, "a/" * 3000, "x" * 100_000, "", " ",
    "null", "None", "true", "nan", "1e5", "1e-4", "0x10", "real", "fit", "ignore", "error", "demo", "results", "results/demo",
    "#GGGGGG", "#ffffff", "<script>", "$x$", r"$\frac$", "CON", "con.txt",
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2, 3, 7, 9, 255, 256, 65536, 2**31, 2**31 - 1, 2**32, 2**53 + 1, 2**63, 2**64, -(2**63), -(2**64), 10**12, 10**18, 10**30,
    10**400, 0.5, 1.5, -0.5, 1e-300, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), True, False,
]  # fmt: skip
FREE = ("title", "licence", "root", "images", "labels", "data_root", "name", "encoder_weights", "encoder")
SHAPES = [
    None, [], {}, [None], [[]], [[[]]], {"a": 1}, {"": ""}, {1: 2}, {None: None}, {True: False}, [1, "a", None], ["a", "a"], [1] * 1000,
    "deep", "circle", b"bytes", {"a", "b"}, ["fpn", ["cascade"]], {"extends": "fpn"}, {"view": "gain"},
    ["cascade", ["cascade", "base"]],
]  # fmt: skip


def nodes(value, path=()):
    """Paths of all values of a config, containers too; not far into what an earlier change has nested deep."""
    if len(path) > 10:
        return
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from nodes(entry, (*path, key))


def at(config, path):
    for key in path:
        config = config[key]
    return config


def wild(rng: random.Random, old: object):
    """A value instead of `old`: often of the same kind, so that it comes past the schema."""
    alike = NUMBERS if isinstance(old, int | float) else HOSTILE if isinstance(old, str) else SHAPES
    value = copy.deepcopy(rng.choice(alike if rng.random() < 0.6 else rng.choice([NUMBERS, HOSTILE, SHAPES])))
    if value == "deep":
        for _ in range(150):
            value = [value] if rng.random() < 0.5 else {"a": value}
    if value == "circle":
        value = []
        value.append(value)
    if isinstance(old, list) and rng.random() < 0.5:
        value = [*old, value] if rng.random() < 0.5 else [value]
    if isinstance(old, int) and rng.random() < 0.3:
        value = old * rng.choice([-1, 0, 2, 3, 10, 1000, 10**9]) + rng.choice([-1, 0, 1])
    if isinstance(old, str) and isinstance(value, str) and rng.random() < 0.3:
        value = old + value
    return value


def gentle(rng: random.Random, key: object, old: object):
    """Another value of the same kind, which the schema often takes: hostile only where any text is good."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return max(0, old + rng.choice([-1, 1, old, 8, 1000]))
    if isinstance(old, float):
        return old * rng.choice([0.5, 0.99, 2.0, 10.0])
    if isinstance(old, str) and key in FREE:
        return rng.choice(HOSTILE[:40])
    return old


def mutate(config: dict, rng: random.Random) -> None:
    """Change one thing of a config, in place."""
    paths = list(nodes(config))
    if rng.random() < 0.5:
        kept = [path for path in paths if not isinstance(at(config, path), dict | list)]
        chosen = [path for path in kept if path[-1] in FREE] or kept
        path = rng.choice(chosen if rng.random() < 0.5 else kept)
        at(config, path[:-1])[path[-1]] = gentle(rng, path[-1], at(config, path))
        return
    path = rng.choice(paths)
    parent, key = at(config, path[:-1]), path[-1]
    how = rng.choice(["set", "set", "set", "set", "delete", "rename", "add", "transplant"])
    if how == "set":
        parent[key] = wild(rng, parent[key])
    elif how == "delete":
        del parent[key]
    elif how == "transplant":
        parent[key] = copy.deepcopy(at(config, rng.choice(list(nodes(config)))))
    elif isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), wild(rng, parent[key]))
    elif how == "rename":
        parent[rng.choice([*HOSTILE, 1, None, True, 1.5, key + "s" if isinstance(key, str) else "s"])] = parent.pop(key)
    else:
        parent[rng.choice([*HOSTILE, "extends", "network", "generator", "sampler", "title", "seed", 3])] = wild(rng, parent[key])


def build(base: str) -> dict:
    config = read("config.yaml")
    for name in BASES[base]:
        config = merge(config, read(f"configs/{name}.yaml"))
    if base == "annotated":
        return merge(config, {**OWN, "datasets": {"mytown": ANNOTATED}})
    return merge(config, OWN) if base == "own" else config


CASES = {"config.yaml": 200, "tiny": 120, "tiny_all": 120, "dubai": 120, "paper": 10, "paper_loveda": 50, "demo_generators": 60} | {
    **{"sampler_sweep": 60, "selection": 160, "own": 320, "annotated": 160}
}


@pytest.mark.parametrize("base", BASES)
def test_config_values(base, tmp_path, monkeypatch):
    """One to three changes of a config of the project, or of a user's own imagery."""
    for name in ("mytown", "dubai_mbrsc", "iSAID", "LoveDA", "OpenEarthMap"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    monkeypatch.setenv("SATSYNTH_DATA", str(tmp_path / "raw"))
    monkeypatch.chdir(tmp_path)
    sound, before = build(base), snapshot(tmp_path)
    sane(*planned(*load(sound)))

    def case(rng: random.Random, number: int) -> None:
        config = copy.deepcopy(sound)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            mutate(config, rng)
        try:
            loaded = load(config)
            sane(*planned(*loaded))
            raw_folders(*loaded)
        except SatsynthError as error:
            named = {"config", *SCHEMA["properties"], *map(str, config)}
            assert re.split(r"[.\[]", error.subject)[0] in named or error.subject.strip("'") in named, error
            raise

    survey(base, CASES[base], case, lambda number: None)
    assert snapshot(tmp_path) == before

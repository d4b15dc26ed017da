"""Which jobs read which leaves of SemGAN's and SegDiff's stanzas: a change of a leaf changes the slices of those jobs and no other."""

import copy

import pytest
from presets import preset, read

from satsynth.plan import measures, slices
from satsynth.plan.config import merge, resolve
from satsynth.plan.layout import Layout

CONFIG = merge(read("config.yaml"), read("configs/tiny_all.yaml"))
RESOLVED = resolve(CONFIG, preset("tiny"))
INFERENCE = {"segdiff": ("sampler", "ensemble"), "semgan": ("search",)}  # how a trained network predicts
# What changes no number of a job's result, but which job it is, or which module does it (other paths and other code).
NAMES = {("segmenters", name, key) for name in ("segdiff", "semgan", "unet") for key in ("network", "generator")} | {
    ("generators", "semgan", "kind"),
    ("generators", "semgan", "size"),
    ("sources", "semgan", "generator"),
}


def leaves(value, path):
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    else:
        yield path


RIVALS = [("generators", "semgan"), ("sources", "semgan"), ("segmenters", "segdiff"), ("segmenters", "semgan"), ("segmenters", "unet")]
LEAVES = [path for section, name in RIVALS for path in leaves(RESOLVED[section][name], (section, name)) if path not in NAMES]


def jobs(resolved):
    """Rule and name -> the slice of every job, table and figure that the rules take from a config."""
    layout = Layout(CONFIG, resolved)
    found = {("train_generator", name): slices.generator(stanza) for name, stanza in resolved["generators"].items()}
    for name, stanza in resolved["sources"].items():
        made = slices.augmentation(resolved, "demo", name) if "augment" in stanza else slices.source(resolved, name)
        found["augment_pairs" if "augment" in stanza else "sample_pairs", name] = made
    for name, stanza in resolved["segmenters"].items():
        if stanza["network"] == "semgan":
            found["train_encoder", name] = slices.encoder(resolved, "demo", name)
        else:
            found["train_segmenter", name] = slices.segmenter(stanza)
        found["evaluate_segmenter", name] = slices.evaluation(stanza)
    for name in layout.figures():
        shows_systems = resolved["figures"][name]["view"] in ("confusion", "predictions")
        found["draw_figure", name] = slices.figure(resolved, name, layout.systems(name) if shows_systems else [])
    for name in layout.experiments():
        fidelity = resolved["experiments"][name]["view"] == "fidelity"
        found["tabulate", name] = measures.table(layout, name) if fidelity else slices.table(resolved, name, layout.runs(name))
    return found


def other(value):
    """Another value; slices are taken as they stand, so it need not be a sensible one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "imagenet" if value == "none" else "none"  # of a weights file the content would count


def readers(path):
    """The jobs that a leaf belongs to, by hand."""
    section, name, key = path[:3]
    if key == "gpu":  # how many devices share a job
        return set()
    if section == "generators":
        return {("train_generator", name)}
    if section == "sources":  # a fidelity table tells how many shards a row has
        return {("sample_pairs", name)} | ({("tabulate", "fidelity")} if key == "shards" else set())
    if key in ("evaluation", *INFERENCE.get(name, ())):
        return {("evaluate_segmenter", name)}
    return {("train_encoder" if name == "semgan" else "train_segmenter", name)}


BEFORE = jobs(RESOLVED)


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_leaf_of_a_rival_is_read_by_its_jobs_alone(path):
    changed = copy.deepcopy(RESOLVED)
    stanza = changed
    for key in path[:-1]:
        stanza = stanza[key]
    stanza[path[-1]] = other(stanza[path[-1]])
    after = jobs(changed)
    assert after.keys() == BEFORE.keys() and {job for job in after if after[job] != BEFORE[job]} == readers(path)


def test_the_leaves_that_the_rivals_alone_have_are_among_them():
    own = {".".join(path[1:]) for path in LEAVES}
    assert {"semgan.mixing", "semgan.r1.weight", "semgan.path_length.decay", "semgan.sampler.truncation", "semgan.search.steps"} < own
    assert {"segdiff.rrdb.blocks", "segdiff.denoiser.heads", "segdiff.sampler.steps", "segdiff.ensemble.generations"} < own

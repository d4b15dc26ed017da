"""What rules/*.smk ask of the library when Snakemake reads a config and plans the jobs of `rule all`, without Snakemake.

Each block stands for the lines of the rule files that it names; `test_command_line.py` compares the two on some hostile configs.
"""

import json
from functools import cache
from itertools import chain
from pathlib import Path

from presets import ROOT, preset, read

from satsynth.plan import admission, layout, measures, names, raw, selection, slices
from satsynth.plan.closure import module_of
from satsynth.plan.config import resolve
from satsynth.plan.layout import Layout
from satsynth.plan.presets import load_preset
from satsynth.plan.stanzas import AUGMENTATIONS, FORMATS, GENERATORS, NETWORKS, sizes_of, source_size, takes_parts
from satsynth.plan.validation import validate

SCHEMA = read("rules/schemas/config.schema.yaml")
KNOWN = sorted(path.stem for path in (ROOT / "rules/presets").glob("*.yaml"))
_preset = cache(preset)


def load(config: dict) -> tuple[dict, Layout]:
    """`load_config` of common.smk, and LAYOUT. Presets are trusted; those that exist are read once."""
    validate(config, SCHEMA)
    name = config["preset"]
    resolved = resolve(config, _preset(name) if name in KNOWN else load_preset(ROOT / "rules/presets", name))
    return resolved, Layout(config, resolved)


def planned(resolved: dict, plan: Layout) -> tuple[list[str], list[object]]:
    """The paths and params of everything that `rule all` would run."""
    paths, params = _parsed(resolved, plan)
    for name in plan.experiments():
        paths += plan.ground(name) + plan.scene_indices(name) + plan.run_files(name, "card.json", "metrics.json", "confusion.npy")
        if name in measures.tables(resolved):
            paths += chain(*measures.table_files(plan, name).values())
            params.append(measures.table(plan, name))
            module_of(resolved["segmenters"][resolved["measures"]["evaluator"]]["network"], NETWORKS)
        else:
            chooses = name in selection.tables(resolved)
            params.append(selection.table(plan, name) if chooses else slices.table(resolved, name, plan.runs(name)))
            paths += [*plan.admissions(name), selection.choice_of(name)]
        for run in plan.runs(name):
            _trained(run, resolved, plan, paths, params)
    for name in plan.figures():
        _drawn(name, resolved, plan, paths, params)
    for dataset in plan.datasets():
        stanza = resolved["datasets"][dataset]
        params += [slices.tiles(stanza, split) for split in ("train", "val")]
        params += [slices.inspection(stanza), slices.held(stanza), slices.label_space(stanza), module_of(stanza["format"], FORMATS)]
    return paths, params


def raw_folders(resolved: dict, plan: Layout) -> list[str]:
    """`raw_digest` of common.smk for every dataset that is planned."""
    stanzas = {name: resolved["datasets"][name] for name in plan.datasets() if resolved["datasets"][name]["format"] != "demo"}
    return [raw.digest(raw.root_of(stanza, resolved["data_root"]), name) for name, stanza in stanzas.items()]


def _parsed(resolved: dict, plan: Layout) -> tuple[list[str], list[object]]:
    """What stands at the top of the rule files, outside of functions: it is computed for every config, whatever is run."""
    paths, params = [], [measures.numbers(resolved), resolved["devices"]["wait_seconds"], {"pixels": resolved["measures"]["pixels"]}]
    for name, stanza in resolved["datasets"].items():
        if stanza["format"] == "demo":
            params.append(slices.scenes(stanza))
            paths += [path for part in ("images", "masks") for path in layout.scenes(name, part, stanza["world"]["scenes"])]
        paths += [path for size in sizes_of(stanza) for path in layout.store(layout.real(name, size)).values()]
    for section in ("datasets", "generators", "sources", "segmenters", "experiments", "figures"):
        params.append(names.alternatives(resolved[section]))
    params += [measures.set_pattern(resolved["sources"]), slices.page(resolved)]
    params += [admission.scored_pattern(resolved), admission.judge(resolved)]
    max(1, 8 // max(1, len(resolved["generators"]))), resolved["devices"]["threads"] or 8, resolved["devices"]["cpu_threads"] or 8
    paths += plan.report_generators() + plan.report_evaluators()
    return paths, params


def _trained(run, resolved: dict, plan: Layout, paths: list, params: list) -> None:
    """Inputs and params of train_segmenter or train_encoder, evaluate_segmenter, and of what is made for them."""
    stanza, place = resolved["segmenters"][run.segmenter], (run.dataset, run.size)
    own, made = plan.training_stores(*place, run.training_set)
    paths += layout.files_of(own + made, *layout.STORE)
    paths += [f"results/logs/predict_masks/{run.dataset}-{run.size}px-{run.training_set}-{run.segmenter}-{run.seed}-{'x' * 40}.log"]
    paths += [f"{plan.test_store(*place, run.training_set)}/card.json"]
    encoder = takes_parts(stanza)
    params += [slices.encoder(resolved, run.dataset, run.segmenter) if encoder else slices.segmenter(stanza), slices.evaluation(stanza)]
    paths += plan.parts(*place, run.segmenter) if encoder else []
    module_of(stanza["network"], NETWORKS)
    for source, _ in names.parse_training_set(run.training_set, resolved["sources"]).parts:
        _made(source, run.dataset, resolved, plan, paths, params)


def _made(source: str, dataset: str, resolved: dict, plan: Layout, paths: list, params: list) -> None:
    stanza = resolved["sources"][source]
    if "augment" in stanza:
        params.append(slices.augmentation(resolved, dataset, source))
        module_of(stanza["augment"], AUGMENTATIONS)
        return
    if "admit" in stanza:
        params.append(admission.decisions(resolved, source))
        size, judge = source_size(resolved, source), admission.judge(resolved)
        paths += [admission.folder(dataset, size, *judge), admission.judge_folder(dataset, size, *judge)]
        _made(stanza["admit"], dataset, resolved, plan, paths, params)
        return
    params.append(slices.source(resolved, source))
    paths += layout.files_of(plan.stages(dataset, source), "weights.safetensors", "card.json")
    for name in slices.stages(resolved, source):
        params.append(slices.generator(resolved["generators"][name]))
        paths += plan.generator_stores(dataset, name)
        module_of(resolved["generators"][name]["kind"], *GENERATORS)


def _drawn(name: str, resolved: dict, plan: Layout, paths: list, params: list) -> None:
    files, stores = plan.figure_inputs(name)
    paths += chain(*files.values(), *stores.values())
    systems, figure = plan.systems(name), resolved["figures"][name]
    params.append(slices.figure(resolved, name, systems))
    if figure["view"] == "denoising":
        params.append(slices.denoising(resolved, name))
        module_of(resolved["generators"][slices.stages(resolved, figure["source"])[0]]["kind"], *GENERATORS)
    if figure["view"] == "predictions":
        params += [slices.predictions(resolved, name, run.segmenter) for run in systems]


def sane(paths: list[str], params: list[object]) -> None:
    """Every path can be a file below results/, and every param can be part of a job's key."""
    for path in paths:
        parts = Path(path).parts
        assert parts[0] == "results" and ".." not in parts, path
        assert max(len(part.encode()) for part in parts) <= 240, path  # room for what a writer puts around a name
    json.dumps(params, sort_keys=True, allow_nan=False).encode()

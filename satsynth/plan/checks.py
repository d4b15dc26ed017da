"""The checks of a resolved config that a schema cannot make."""

from satsynth.plan import selection
from satsynth.plan.admission import JUDGE, check_origin, judge
from satsynth.plan.closure import declares, registered
from satsynth.plan.dataset_checks import check_dataset
from satsynth.plan.generation import check_generator, check_parts, check_sampler, check_source
from satsynth.plan.runs import method_of
from satsynth.plan.stanzas import (
    DIFFUSION,
    NETWORKS,
    ROLES,
    codes_of,
    further_side,
    known_stanza,
    makes_masks,
    nearest,
    parent_of,
    replicas,
    same_noise,
    sizes_of,
    source_size,
    stages_of,
    takes_parts,
)
from satsynth.runtime.errors import ConfigError


def check_read(where: str, own: dict, base: dict, names: tuple[str, ...], reader: str) -> None:
    """Refuse keys that the schema knows, but that this stanza's module does not read."""
    for key in own:
        if key not in base and key not in names:
            raise ConfigError(f"{where}.{key}", f"{reader} does not read this key.", nearest(key, [*base, *names]))


def check(resolved: dict, config: dict) -> None:
    """Refuse what does not fit together.

    Args:
        resolved: every stanza whole.
        config: as the user wrote it: who extends whom.

    Raises:
        ConfigError: a stanza names something that is not there, or values do not fit together.
    """
    for name, generator in resolved["generators"].items():
        check_generator(f"generators.{name}", generator)
    for name, segmenter in resolved["segmenters"].items():
        _check_segmenter(f"segmenters.{name}", segmenter, resolved["generators"])
    for name, dataset in resolved["datasets"].items():
        check_dataset(f"datasets.{name}", dataset)
    both = set(resolved["experiments"]) & set(resolved["figures"])
    if both:
        raise ConfigError("figures", f"'{min(both)}' is an experiment too.", "Give tables and figures names of their own.")
    both = (set(resolved["experiments"]) | set(resolved["figures"])) & set(resolved["exports"])
    if both:
        raise ConfigError("exports", f"'{min(both)}' is a table or figure too.", "Give exports names of their own.")
    for name, source in resolved["sources"].items():
        if "admit" not in source:  # its parent is checked itself
            check_source(f"sources.{name}", source, resolved["generators"])
    for name, figure in resolved["figures"].items():
        _check_figure(f"figures.{name}", figure, resolved)
    for name, export in resolved["exports"].items():
        _check_named(f"exports.{name}", export, resolved)
    _check_gallery(resolved)
    # Only what `run` reaches: an experiment of the embedded demo that an overlay leaves unused need not fit the overlay's sizes.
    for name in resolved["run"]:
        if name in resolved["experiments"]:
            _check_experiment(name, resolved, config)
        elif name in resolved["figures"]:
            _check_plotted(f"figures.{name}", resolved["figures"][name], resolved, config)
            _check_sources(f"figures.{name}", resolved["figures"][name], resolved)
        elif name in resolved["exports"]:
            _check_export(f"exports.{name}", resolved["exports"][name], resolved)
        else:
            known = [*resolved["experiments"], *resolved["figures"], *resolved["exports"]]
            raise ConfigError("run", f"'{name}' is no table, figure or export.", nearest(name, known))


def _check_gallery(resolved: dict) -> None:
    """That the sources which the gallery names are there; a place of another size than its dataset's is refused when it is planned."""
    where, named = "report.gallery.sources", resolved["report"]["gallery"]["sources"]
    for source in named or []:
        known_stanza(where, source, resolved["sources"], "source")
    if named:
        _check_evaluator(resolved)


def _check_experiment(name: str, resolved: dict, config: dict) -> None:
    where, experiment = f"experiments.{name}", resolved["experiments"][name]
    view = experiment.get("view")
    needed = ("view", "size", "datasets", *ROWS.get(view, ("grid",)))
    for key in needed:
        if not experiment.get(key):
            raise ConfigError(f"{where}.{key}", "this key is missing.", f"An experiment of this view needs {', '.join(needed)}.")
    for key in ("grid", "sources", *MEASURED):
        if experiment.get(key) and key not in (*needed, *(MEASURED if view == "fidelity" else ())):
            raise ConfigError(f"{where}.{key}", f"a table of view {view} does not read it.", "Leave it out.")
    for dataset in experiment["datasets"]:
        stanza = known_stanza(f"{where}.datasets", dataset, resolved["datasets"], "dataset")
        if experiment["size"] not in sizes_of(stanza):
            cause = f"'{dataset}' has no patches of {experiment['size']} px."
            raise ConfigError(f"{where}.size", cause, further_side(dataset, stanza, experiment["size"]))
    for number, entry in enumerate(experiment["grid"]):
        _check_grid(f"{where}.grid[{number}]", entry, experiment, resolved, config)
    _check_replicas(where, experiment, resolved)
    if view == selection.VIEW:
        selection.check(name, resolved, config)
    elif shares := [number for number, entry in enumerate(experiment["grid"]) if "shares" in entry]:
        raise ConfigError(f"{where}.grid[{shares[0]}].shares", f"a table of view {view} does not read it.", "Leave it out.")
    if view == "fidelity":
        _check_measured(where, experiment, resolved)


def _check_measured(where: str, experiment: dict, resolved: dict) -> None:
    """The evaluator of a fidelity table, and its sources."""
    _check_evaluator(resolved)
    if experiment["base"] != "real":
        raise ConfigError(f"{where}.base", "a table of view fidelity compares with train and val.", "Leave it out.")
    for source in experiment["sources"]:
        _check_used(f"{where}.sources", source, experiment, resolved)
    if experiment.get("alone"):
        stanza = _segmenter(f"{where}.alone", experiment["alone"], resolved)
        if takes_parts(stanza):
            _check_parts(f"{where}.alone", experiment["alone"], experiment, resolved)
    baseline = experiment.get("baseline")
    if baseline and baseline not in experiment["sources"]:
        raise ConfigError(f"{where}.baseline", f"'{baseline}' is none of the table's sources.", nearest(baseline, experiment["sources"]))
    if baseline and not any(same_noise(resolved, baseline, other) for other in experiment["sources"] if other != baseline):
        cause = f"no other source of the table chains the generators of '{baseline}' with its seed and block."
        raise ConfigError(f"{where}.baseline", cause, "Add one that differs in its sampler only, or leave it out.")


def _check_replicas(where: str, experiment: dict, resolved: dict) -> None:
    """Replicas share a row of the table, which bears the first one's name: nothing else may."""
    listed = [tuple(replicas(source)) for entry in experiment["grid"] for source in entry["sources"]]
    for group in listed:
        if len({method_of(resolved, source) for source in group}) > 1:
            cause = f"{list(group)} are no replicas: they are made by different methods."
            raise ConfigError(f"{where}.grid", cause, "List them one by one.")
        if any(other[0] == group[0] and other != group for other in listed):
            cause = f"'{group[0]}' stands alone and before replicas, and both would be one row."
            raise ConfigError(f"{where}.grid", cause, "Name it once, or begin the list with another.")


def _segmenter(where: str, name: str, resolved: dict) -> dict:
    """The segmenter's stanza; a network that no stanza names is told how to become one."""
    if name not in resolved["segmenters"] and name in registered(NETWORKS):
        cause = f"'{name}' is a network, but no segmenter of this config."
        raise ConfigError(where, cause, f"Add segmenters: {{{name}: {{}}}}.")
    return known_stanza(where, name, resolved["segmenters"], "segmenter of this config")


def _check_grid(here: str, entry: dict, experiment: dict, resolved: dict, config: dict) -> None:
    for segmenter in [*entry["segmenters"], *entry.get("controls", []), *entry.get("shares", [])]:
        stanza = _segmenter(f"{here}.segmenters", segmenter, resolved)
        if takes_parts(stanza):
            _check_parts(f"{here}.segmenters", segmenter, experiment, resolved)
    for control in entry.get("controls", []):
        subject = parent_of(config, control)
        if subject == control or subject not in entry["segmenters"]:
            raise ConfigError(f"{here}.controls", f"'{control}' extends none of {entry['segmenters']}.", "A control extends its subject.")
        own, other = (
            {key: value for key, value in resolved["segmenters"][name].items() if key != "exposures"} for name in (control, subject)
        )
        if own != other or resolved["segmenters"][control]["exposures"] != 0.5 * resolved["segmenters"][subject]["exposures"]:
            cause = f"'{control}' is no control of '{subject}': half of the exposures must be the one difference."
            raise ConfigError(f"{here}.controls", cause, f"Write {control}: {{extends: {subject}, exposures: 0.5}}.")
    if 0 not in entry["ratios"]:
        raise ConfigError(f"{here}.ratios", "R = 0 is missing, and there is nothing to compare with.", "Add 0 to the ratios.")
    if entry.get("alone") and experiment["base"] == "fit":
        raise ConfigError(f"{here}.alone", "D' alone is always judged on val.", "Leave it out where base is fit.")
    if max(entry["ratios"]) > 0 and not entry["sources"]:
        raise ConfigError(f"{here}.sources", "no source is named for R above 0.", nearest("", resolved["sources"]))
    if max(entry["ratios"]) == 0 and experiment["view"] == "summary":
        raise ConfigError(f"{here}.ratios", "a summary is about gains, and there is no R above 0.", "Add 1 to the ratios.")
    for source in [name for listed in entry["sources"] for name in replicas(listed)]:
        _check_used(f"{here}.sources", source, experiment, resolved)
        if max(entry["ratios"]) > 0:
            check_origin(f"{here}.sources", source, experiment["base"], resolved)
        if not makes_masks(resolved, source):
            cause = f"'{source}' makes images without masks, and nothing can be trained on them."
            raise ConfigError(f"{here}.sources", cause, "Measure it in a table of view fidelity.")


def _check_parts(where: str, segmenter: str, experiment: dict, resolved: dict) -> None:
    """That the generator and the evaluator which a segmenter is trained around fit an experiment."""
    name = resolved["segmenters"][segmenter]["generator"]
    size = resolved["generators"][name]["size"]
    if size != experiment["size"]:
        cause = f"'{segmenter}' searches '{name}', which makes pairs of {size} px; the experiment is at {experiment['size']} px."
        raise ConfigError(where, cause, "Give it a generator of the experiment's size.")
    if experiment["base"] == "fit":
        cause = f"'{segmenter}' searches '{name}', which is trained on the whole of train: it holds the pairs that `fit` is judged on."
        raise ConfigError(where, cause, "Use base: real.")
    if resolved["generators"][name]["split"] != "train":
        cause = f"'{segmenter}' searches '{name}', which is trained on {resolved['generators'][name]['split']}."
        raise ConfigError(where, cause, "Give it a generator of split: train.")
    _check_evaluator(resolved)


def _check_evaluator(resolved: dict, key: str = "measures.evaluator") -> None:
    """That the segmenter whose features are used gives some; `key` is where it is named."""
    name = judge(resolved)[0] if key == JUDGE else resolved["measures"]["evaluator"]
    network = _segmenter(key, name, resolved)["network"]
    if declares(NETWORKS, network, "WRAPPER"):
        cause = f"'{name}' is of network {network}, which is no plain map from images to classes: it gives no features."
        raise ConfigError(key, cause, "Name a segmenter of a network such as unet, the paper's evaluator.")


def _check_used(where: str, source: str, experiment: dict, resolved: dict) -> None:
    """That there is a source, and that it can be made from every dataset of an experiment, at its size."""
    known_stanza(where, source, resolved["sources"], "source")
    _check_made(where, source, experiment["datasets"], resolved)
    size = source_size(resolved, source)
    if size != experiment["size"]:
        cause = f"'{source}' makes pairs of {size} px, the experiment is at {experiment['size']} px."
        raise ConfigError(where, cause, "Use a source of the experiment's size.")


def _check_made(where: str, source: str, datasets: list[str], resolved: dict) -> None:
    """That the generators of a source can be trained on every one of these datasets, and that its pairs can be judged."""
    if "admit" in resolved["sources"][source]:
        _check_evaluator(resolved, JUDGE)
        if not makes_masks(resolved, source):
            cause = f"'{resolved['sources'][source]['admit']}' makes images without masks, and there is no label to judge."
            raise ConfigError(f"sources.{source}.admit", cause, "Admit from a source of pairs.")
    for stage in stages_of(resolved["sources"][source]):
        size = resolved["generators"][stage]["size"]
        for dataset in datasets:
            stanza = resolved["datasets"][dataset]
            if size not in sizes_of(stanza):
                cause = f"'{stage}' is trained on {size} px, which '{dataset}' does not have."
                raise ConfigError(where, cause, further_side(dataset, stanza, size))


# Table view -> what its rows are made of, where that is not a grid of trainings.
ROWS = {"dataset": (), "fidelity": ("sources",)}
# Keys that a fidelity table may have, and no other view.
MEASURED = ("alone", "baseline")
# Keys that a figure of a view may have besides those that it needs and those of its preset.
OPTIONAL = {"training_curves": ("generators", "experiment")}
# Figure view -> the keys that it needs beside `view`, and the table view that its experiment must have (None: any that trains).
NEEDED = {
    "class_distribution": (("dataset", "source"), None),
    "pairs": (("dataset", "source"), None),
    "memorisation": (("dataset", "source"), None),
    "contrast": (("dataset", "first", "second"), None),
    "methods": (("dataset", "source"), None),
    "upscaling": (("dataset", "source", "low"), None),
    "denoising": (("dataset", "source"), None),
    "ratio_curve": (("experiment",), "gain"),
    "training_curves": (("dataset",), None),
    "occurrence": (("experiment",), "per_class"),
    "class_forest": (("experiment",), "per_class"),
    "confusion": (("dataset", "experiment"), None),
    "predictions": (("dataset", "experiment"), None),
}


def _check_figure(where: str, figure: dict, resolved: dict) -> None:
    needed, _ = NEEDED.get(figure.get("view"), ((), None))
    for key in ("view", *needed):
        if key not in figure:
            raise ConfigError(f"{where}.{key}", "this key is missing.", f"A figure of this view needs {', '.join(('view', *needed))}.")
    sections = (
        ("dataset", "datasets"),
        *((role, "sources") for role in ROLES),
        ("experiment", "experiments"),
        ("segmenter", "segmenters"),
    )
    for key, section in sections:
        if figure.get(key) is not None:
            known_stanza(f"{where}.{key}", figure[key], resolved[section], section[:-1])
    for key in ("generators", "segmenters"):
        for name in figure.get(key) or []:
            known_stanza(f"{where}.{key}", name, resolved[key], key[:-1])
    if figure.get("segmenter") and figure.get("segmenters"):
        raise ConfigError(f"{where}.segmenters", "both `segmenter` and `segmenters` are given.", "Give one of the two.")


def _check_plotted(where: str, figure: dict, resolved: dict, config: dict) -> None:
    """The experiment of a figure, and that it has what the figure shows."""
    if "experiment" not in figure:
        return
    name = figure["experiment"]
    experiment, view = resolved["experiments"][name], NEEDED[figure["view"]][1]
    if view not in (None, experiment.get("view")):
        raise ConfigError(f"{where}.experiment", f"'{name}' is no table of view {view}.", f"Name one of view {view}.")
    _check_experiment(name, resolved, config)
    segmenters = [segmenter for entry in experiment["grid"] for segmenter in entry["segmenters"]]
    if not segmenters:
        raise ConfigError(f"{where}.experiment", f"'{name}' trains nothing.", "Name an experiment that has a grid.")
    ratios = [ratio for entry in experiment["grid"] for ratio in entry["ratios"] if ratio > 0]
    chosen = [(key, figure.get(key)) for key in ("dataset", "segmenter", "ratio")]
    has = {"dataset": experiment["datasets"], "segmenter": segmenters, "segmenters": segmenters, "ratio": ratios}
    for key, value in [*chosen, *(("segmenters", segmenter) for segmenter in figure.get("segmenters") or [])]:
        if value not in (None, *has[key]):
            raise ConfigError(f"{where}.{key}", f"'{value}' is not in '{name}'.", f"It has {', '.join(dict.fromkeys(map(str, has[key])))}.")


def _check_sources(where: str, figure: dict, resolved: dict) -> None:
    """That the sources of a figure fit its view."""
    view = figure["view"]
    for role in ROLES:
        if figure.get(role) and "dataset" in figure:
            _check_made(f"{where}.{role}", figure[role], [figure["dataset"]], resolved)
    if view == "class_distribution" and not makes_masks(resolved, figure["source"]):
        raise ConfigError(f"{where}.source", f"'{figure['source']}' makes images without masks.", "Name a source of pairs.")
    if view == "contrast" and len({source_size(resolved, figure[role]) for role in ("first", "second")}) > 1:
        cause = f"'{figure['first']}' and '{figure['second']}' make pairs of different sizes."
        raise ConfigError(f"{where}.second", cause, "Compare sources of one size.")
    if view == "methods" and codes_of(resolved, figure["source"]) != {"bits"}:
        raise ConfigError(f"{where}.source", f"'{figure['source']}' samples no diffusion model of bit codes.", "Name a source that does.")
    if view == "denoising":
        first = stages_of(resolved["sources"][figure["source"]])[:1]
        if not first or resolved["generators"][first[0]]["kind"] not in registered(DIFFUSION):
            raise ConfigError(f"{where}.source", f"'{figure['source']}' denoises nothing.", "Name a source that samples a diffusion model.")
    if view == "upscaling":
        low, high = (resolved["sources"][figure[role]] for role in ("low", "source"))
        other = [key for key in ("generator", "sampler", "seed", "block", "admit") if low.get(key) != high.get(key)]
        if not high.get("then") or low.get("then") or other:
            differs = f": they differ in {' and '.join(other)}" if other else ""
            cause = f"the pairs of '{figure['low']}' are not what '{figure['source']}' is made from{differs}."
            remedy = (
                "Give both sources one generator, sampler, seed and block, only the second with `then`; or leave the figure out of `run`."
            )
            raise ConfigError(f"{where}.low", cause, remedy)
    if view == "memorisation":
        _check_evaluator(resolved)


def _check_named(where: str, export: dict, resolved: dict) -> None:
    """That what an export names is there: each has a rule of its own, whether `run` asks for it or not."""
    for key in ("dataset", "source"):
        if key not in export:
            raise ConfigError(f"{where}.{key}", "this key is missing.", "Name the dataset and the source whose pairs are exported.")
        known_stanza(f"{where}.{key}", export[key], resolved[f"{key}s"], key)


def _check_export(where: str, export: dict, resolved: dict) -> None:
    """That there are pairs to export, and real ones of their size beside them."""
    dataset, source = resolved["datasets"][export["dataset"]], export["source"]
    if not makes_masks(resolved, source):
        raise ConfigError(f"{where}.source", f"'{source}' makes images without masks.", "Name a source of pairs.")
    _check_made(f"{where}.source", source, [export["dataset"]], resolved)
    if source_size(resolved, source) not in sizes_of(dataset):
        cause = f"'{source}' makes pairs of {source_size(resolved, source)} px, which '{export['dataset']}' does not have."
        raise ConfigError(f"{where}.source", cause, further_side(export["dataset"], dataset, source_size(resolved, source)))
    if export["measures"]:
        _check_evaluator(resolved)


def _check_segmenter(where: str, segmenter: dict, generators: dict) -> None:
    check_parts(where, segmenter)
    if "sampler" in segmenter:
        check_sampler(f"{where}.sampler", segmenter["sampler"], segmenter)
    if not takes_parts(segmenter):
        return
    where, name = f"{where}.generator", segmenter.get("generator")
    if name is None:
        raise ConfigError(where, "this key is missing.", "Name a generator of kind semgan: its latent space is what is searched.")
    generator = known_stanza(where, name, generators, "generator")
    if generator["kind"] != "semgan":
        cause = f"'{name}' is of kind {generator['kind']}, whose pairs have no styles to search for."
        raise ConfigError(where, cause, "Name a generator of kind semgan.")
    if generator["size"] < 16:
        raise ConfigError(where, f"'{name}' makes pairs of {generator['size']} px, too small for the encoder.", "Use 16 px or more.")

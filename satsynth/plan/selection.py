"""Selections: tables that choose source, R and share of real pairs on held-out training pairs, and the config of the run that follows."""

import itertools
import math

from satsynth.plan import names, slices
from satsynth.plan.layout import Layout
from satsynth.plan.runs import Run
from satsynth.plan.stanzas import parent_of
from satsynth.runtime.errors import ConfigError

VIEW = "selection"
FINAL = "final"  # the experiment of the run on val
TAIL = 2.5  # replicates beyond either end of an interval at least, as the notes under tables ask for (satsynth.reporting.notes)


def tables(resolved: dict) -> list[str]:
    """The experiments that choose."""
    return [name for name, stanza in resolved["experiments"].items() if stanza.get("view") == VIEW]


def choice_of(experiment: str) -> str:
    """File of what a selection has chosen."""
    return f"results/tables/{experiment}.choice.json"


def check(name: str, resolved: dict, config: dict) -> None:
    """Refuse a selection that could not choose, or would choose by what it shall not see.

    Args:
        name: the experiment, whose grid fits otherwise.
        resolved: every stanza whole.
        config: as the user wrote it: who extends whom.

    Raises:
        ConfigError: see above.
    """
    where, experiment = f"experiments.{name}", resolved["experiments"][name]
    if experiment["base"] != "fit":
        cause = "a selection that is judged on val would choose by the scores that are reported."
        raise ConfigError(f"{where}.base", cause, "Write base: fit.")
    if len(experiment["seeds"]) < 2:
        cause = f"with {len(experiment['seeds'])} seed there is no interval, so nothing could be chosen but D."
        raise ConfigError(f"{where}.seeds", cause, "Give two seeds or more.")
    for number, entry in enumerate(experiment["grid"]):
        here = f"{where}.grid[{number}]"
        if "controls" in entry:
            raise ConfigError(f"{here}.controls", "a table of view selection does not read it.", "Leave it out.")
        if not all(isinstance(listed, str) for listed in entry["sources"]):
            raise ConfigError(f"{here}.sources", "replicas are listed, of which none could be chosen.", "List sources one by one.")
        if max(entry["ratios"]) == 0:
            raise ConfigError(f"{here}.ratios", "there is no R above 0, and nothing to choose.", "Add 1 to the ratios.")
        for share in entry.get("shares", []):
            _check_share(f"{here}.shares", share, entry["segmenters"], resolved["segmenters"], config)
    _check_replicates(where, experiment, config)


def _check_share(where: str, share: str, listed: list[str], segmenters: dict, config: dict) -> None:
    subject = parent_of(config, share)
    if subject == share or subject not in listed:
        raise ConfigError(where, f"'{share}' extends none of {listed}.", f"Write {share}: {{extends: {listed[0]}, real_share: 0.75}}.")
    own, other = ({key: value for key, value in segmenters[name].items() if key != "real_share"} for name in (share, subject))
    if own != other:
        cause = f"'{share}' differs from '{subject}' in more than its share of real pairs."
        raise ConfigError(where, cause, "Give it no other key than extends and real_share.")


def _check_replicates(where: str, experiment: dict, config: dict) -> None:
    """That the bootstrap reaches the level that all candidates of a segmenter together ask for; the table finds out when all is trained."""
    tried: dict[str, set] = {}
    for entry in experiment["grid"]:
        for segmenter in [*entry["segmenters"], *entry.get("shares", [])]:
            subject = parent_of(config, segmenter) if segmenter in entry.get("shares", []) else segmenter
            added = ((segmenter, source, ratio) for source in entry["sources"] for ratio in entry["ratios"] if ratio)
            tried.setdefault(subject, set()).update(added)
    most = max(map(len, tried.values()))
    needed = math.ceil(2 * TAIL * most / (1 - experiment["choice_confidence"]) - 1e-6)
    if experiment["replicates"] < needed:
        cause = f"{experiment['replicates']} replicates of the bootstrap do not reach the level of {most} candidates."
        raise ConfigError(f"{where}.replicates", cause, f"Draw {needed} or more.")


def table(plan: Layout, experiment: str) -> dict:
    """The slice of the config that a selection depends on: that of any table, and what each candidate is.

    Raises:
        ConfigError: see `check`, which only tables of `run` went through before; any may be asked for by its path.
    """
    check(experiment, plan.resolved, plan.config)
    resolved, runs = plan.resolved, plan.runs(experiment)
    seen: dict[tuple, dict] = {}
    for run in runs:
        if run.arm == "union":
            seen.setdefault((run.dataset, run.source, run.ratio, run.segmenter), _candidate(resolved, run))
    choice = {"choice_confidence": resolved["experiments"][experiment]["choice_confidence"], "candidates": list(seen.values())}
    return slices.ordered({**slices.table(resolved, experiment, runs), **choice})


def _candidate(resolved: dict, run: Run) -> dict:
    """What is tried, and the config that trains on the whole of train by it."""
    place = {"dataset": run.dataset, "subject": run.subject, "segmenter": run.segmenter, "source": run.source, "ratio": run.ratio}
    told = {
        "real_share": resolved["segmenters"][run.segmenter]["real_share"],
        "thresholds": resolved["sources"][run.source].get("thresholds"),
    }
    overlay: dict = {"run": [FINAL]}
    source = _source_of_train(resolved, run.source, overlay)
    grid = [{"segmenters": [run.segmenter], "sources": [source], "ratios": [0, run.ratio]}]
    overlay["experiments"] = {FINAL: {"view": "gain", "size": run.size, "datasets": [run.dataset], "base": "real", "grid": grid}}
    final = str(names.TrainingSet("real", ((source, run.ratio),)))
    return {**place, **told, "final": {"training_set": final, "segmenter": run.segmenter, "overlay": overlay}}


def _source_of_train(resolved: dict, name: str, overlay: dict) -> str:
    """The source that differs from this one in its split alone; where the config has none, the overlay is given one."""
    own = resolved["sources"][name]
    if "augment" in own:
        change = {"split": "train"}
    else:
        stages = {key: _generator_of_train(resolved, own[key], overlay) for key in ("generator", "then") if own.get(key)}
        parent = {"admit": _source_of_train(resolved, own["admit"], overlay)} if "admit" in own else {}
        change = {**stages, **parent}
    written = {"admit": change["admit"]} if "admit" in own else change
    return _twin("sources", resolved, name, change, written, overlay)


def _generator_of_train(resolved: dict, name: str, overlay: dict) -> str:
    return _twin("generators", resolved, name, {"split": "train"}, {"split": "train"}, overlay)


def _twin(section: str, resolved: dict, name: str, change: dict, written: dict, overlay: dict) -> str:
    """The stanza that is this one but for a change, or the name of a new one, which is written into the overlay."""
    stanzas = resolved[section]
    wanted = {**stanzas[name], **change, "gpu": None}
    for other, stanza in stanzas.items():
        if {**stanza, "gpu": None} == wanted:
            return other
    new = next(made for number in itertools.count() if (made := f"{name[:30]}_train{number or ''}") not in stanzas)
    overlay.setdefault(section, {})[new] = {"extends": name, **written}
    return new

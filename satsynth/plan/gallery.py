"""The gallery of the report: which sources it shows, and the files of each. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from satsynth.plan import layout, names, slices
from satsynth.plan.admission import DECISIONS
from satsynth.plan.layout import Layout, evaluator
from satsynth.plan.stanzas import sizes_of, source_size

PAGE = "results/report/gallery.html"
PART = 200  # pairs of a file of pictures at most: as much as a browser reads at once without a pause


@dataclass(frozen=True)
class Place:
    """One source on one dataset.

    Args:
        dataset, size, source: whose pairs are shown.
        searched: whether the nearest real training patches of its pairs are known.
        admission: the source that admits from these pairs, whose decisions are shown; None where nothing is decided.
    """

    dataset: str
    size: int
    source: str
    searched: bool
    admission: str | None = None

    @property
    def name(self) -> str:
        """What it is called in paths, and in links to a pair of it."""
        return _called(self.dataset, self.size, self.source)


def _called(dataset: str, size: int | str, source: str) -> str:
    return f"{dataset}-{size}px-{source}"


def folder(dataset: str, size: int | str, source: str) -> str:
    """Where the files of a place lie."""
    return f"results/report/gallery/{_called(dataset, size, source)}"


def places(plan: Layout) -> list[Place]:
    """What the gallery shows, in the order of `run`.

    Where `report.gallery.sources` names none: every source whose nearest training patches a table, a figure or an export of `run` searches
    anyway, and those whose pairs a figure or an export shows; nothing is trained or searched for the gallery alone. Sources that it names
    are shown on every dataset of `run` that has patches of their sizes, and their nearest training patches are searched. An admission is
    shown by the pairs that it admits from, with its decisions; of several that `run` makes of one source, the first.
    """
    resolved = plan.resolved
    named = resolved["report"]["gallery"]["sources"]
    wanted = _shown(plan)
    if named is not None:
        wanted = [(dataset, source, True) for dataset in plan.datasets() for source in named if _fits(resolved, dataset, source)]
    found: dict[tuple[str, str], bool] = {}
    judged = {(dataset, resolved["sources"][source].get("admit")): source for dataset, source in reversed(_made(plan))}
    for dataset, source, searched in wanted:
        parent = resolved["sources"][source].get("admit")
        if parent:
            judged.setdefault((dataset, parent), source)
            # What the run searches is the admitted pairs, not those that they were admitted from.
            searched = named is not None
        found[dataset, parent or source] = found.get((dataset, parent or source), False) or searched
    return [
        Place(dataset, source_size(resolved, source), source, searched, judged.get((dataset, source)))
        for (dataset, source), searched in found.items()
    ]


def _made(plan: Layout) -> list[tuple[str, str]]:
    """Datasets and sources that segmenters of `run` are trained on, in the order of its tables."""
    runs = [run for experiment in plan.experiments() for run in plan.runs(experiment)]
    sources = plan.resolved["sources"]
    return [(run.dataset, source) for run in runs for source, _ in names.parse_training_set(run.training_set, sources).parts]


def _fits(resolved: dict, dataset: str, source: str) -> bool:
    stages = [resolved["generators"][stage]["size"] for stage in slices.stages(resolved, source)]
    return {*stages, source_size(resolved, source)} <= set(sizes_of(resolved["datasets"][dataset]))


def _shown(plan: Layout) -> Iterator[tuple[str, str, bool]]:
    for name in plan.resolved["run"]:
        figure, table = plan.resolved["figures"].get(name, {}), plan.resolved["experiments"].get(name, {})
        if figure.get("view") in ("memorisation", "pairs"):
            yield figure["dataset"], figure["source"], figure["view"] == "memorisation"
        if table.get("view") == "fidelity":
            yield from ((dataset, source, True) for dataset in table["datasets"] for source in table["sources"])
        if export := plan.resolved["exports"].get(name):
            yield export["dataset"], export["source"], export["measures"]


def files(shown: list[Place], name: str) -> list[str]:
    """This file of every place."""
    return [f"{folder(place.dataset, place.size, place.source)}/{name}" for place in shown]


def place_of(plan: Layout, dataset: str, size: int | str, source: str) -> Place:
    """The place of these wildcards; one that the gallery does not show has nothing searched for it."""
    plan.check_size(size, source)
    known = {(place.dataset, place.source): place for place in places(plan)}
    return known.get((dataset, source), Place(dataset, int(size), source, False))


def parts(resolved: dict) -> int:
    """How many files the pictures of a place are cut into."""
    return -(-resolved["report"]["gallery"]["pairs"] // PART)


def last_part(resolved: dict) -> str:
    """The last file of small pictures of a place: Snakemake misses no output that nobody asks for, and a place that grows has new ones."""
    return f"tiles-{parts(resolved) - 1:03d}.js"


def outputs(resolved: dict, place: str) -> dict[str, str | list[str]]:
    """The files of a place by role, its folder given."""
    numbers = [f"{number:03d}" for number in range(parts(resolved))]
    pictures = {role: [f"{place}/{role}-{number}.js" for number in numbers] for role in ("tiles", "pairs", "real")}
    return {**pictures, "numbers": f"{place}/numbers.js", "strip": f"{place}/strip.jpg", "card": f"{place}/card.json"}


def inputs(plan: Layout, place: Place) -> dict[str, list[str]]:
    """What a place is made of, by role: `pairs` and `train` are folders of stores, all others files."""
    dataset, size = place.dataset, place.size
    shards = plan.shards(dataset, size, place.source, 1)
    found = {"pairs": shards, "classes": [layout.classes(dataset)]}
    if place.admission:
        found["decisions"] = layout.files_of(plan.shards(dataset, size, place.admission, 1), DECISIONS)
    if not place.searched:
        return found
    sets = [layout.HELD_OUT, *map(layout.set_of, shards)]
    folders = [layout.neighbours_of(dataset, size, *evaluator(plan.resolved), pairs) for pairs in sets]
    tables = layout.files_of(folders, "neighbours.csv")
    searched = {"null": tables[:1], "neighbours": tables[1:], "searched": layout.files_of(folders, "card.json")}
    return {**found, **searched, "train": [layout.real(dataset, size)]}


def slice_of(resolved: dict) -> dict:
    """The slice of the config that the files of a place depend on."""
    stanza = {key: value for key, value in resolved["report"]["gallery"].items() if key != "sources"}
    return slices.ordered({**stanza, "quantile": resolved["measures"]["null_quantile"]})


def page(plan: Layout) -> dict:
    """The slice of the config that the gallery's page depends on."""
    return {"title": plan.resolved["report"]["title"]}

"""The gallery of the report: which sources it shows, and the files of each. Pure."""

from dataclasses import dataclass

from satsynth.plan import layout, slices
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
    """

    dataset: str
    size: int
    source: str
    searched: bool

    @property
    def name(self) -> str:
        """What it is called in paths, and in links to a pair of it."""
        return f"{self.dataset}-{self.size}px-{self.source}"


def folder(dataset: str, size: int | str, source: str) -> str:
    """Where the files of a place lie."""
    return f"results/report/gallery/{dataset}-{size}px-{source}"


def places(plan: Layout) -> list[Place]:
    """What the gallery shows, in the order of `run`.

    Where `report.gallery.sources` names none: every source whose nearest training patches a table or a figure of `run` searches anyway, and
    those whose pairs a figure shows; nothing is trained or searched for the gallery alone. Sources that it names are shown on every dataset
    of `run` that has patches of their sizes, and their nearest training patches are searched.
    """
    resolved = plan.resolved
    named = resolved["report"]["gallery"]["sources"]
    found: dict[tuple[str, str], bool] = {}
    if named is not None:
        found = {(dataset, source): True for dataset in plan.datasets() for source in named if _fits(resolved, dataset, source)}
    else:
        for dataset, source, searched in _shown(plan):
            found[dataset, source] = found.get((dataset, source), False) or searched
    return [Place(dataset, source_size(resolved, source), source, searched) for (dataset, source), searched in found.items()]


def _fits(resolved: dict, dataset: str, source: str) -> bool:
    stages = [resolved["generators"][stage]["size"] for stage in slices.stages(resolved, source)]
    return {*stages, source_size(resolved, source)} <= set(sizes_of(resolved["datasets"][dataset]))


def _shown(plan: Layout):
    for name in plan.resolved["run"]:
        figure, table = plan.resolved["figures"].get(name, {}), plan.resolved["experiments"].get(name, {})
        if figure.get("view") in ("memorisation", "pairs"):
            yield figure["dataset"], figure["source"], figure["view"] == "memorisation"
        if table.get("view") == "fidelity":
            yield from ((dataset, source, True) for dataset in table["datasets"] for source in table["sources"])


def place_of(plan: Layout, dataset: str, size: int | str, source: str) -> Place:
    """The place of these wildcards; one that the gallery does not show has nothing searched for it."""
    plan.check_size(size, source)
    known = {(place.dataset, place.source): place for place in places(plan)}
    return known.get((dataset, source), Place(dataset, int(size), source, False))


def parts(resolved: dict) -> int:
    """How many files the pictures of a place are cut into."""
    return -(-resolved["report"]["gallery"]["pairs"] // PART)


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
    return slices.ordered({"title": plan.resolved["report"]["title"], "places": [place.name for place in places(plan)]})

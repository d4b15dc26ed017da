"""Where everything lies: the paths of a resolved config, as HOUSE-style names below results/. Pure; the rules add only `ancient`."""

from dataclasses import dataclass, field

from satsynth.plan import names, slices
from satsynth.plan.admission import check_origin
from satsynth.plan.runs import Run, runs_of
from satsynth.plan.stanzas import ROLES, source_size, split_of, takes_parts
from satsynth.runtime.errors import ConfigError

HELD_OUT = "real-val"  # the measured set that says what distances are to be expected
STORE = ("images.npy", "masks.npy", "index.csv", "card.json")


def store(folder: str, role: str = "") -> dict[str, str]:
    """The four files of a store by name: images, masks, index and card, each with `role` before it."""
    return {role + file.split(".")[0]: f"{folder}/{file}" for file in STORE}


def files_of(folders: list[str], *names: str) -> list[str]:
    """These files of every folder."""
    return [f"{folder}/{name}" for folder in folders for name in names]


def real(dataset: str, size: int | str, split: str = "train") -> str:
    """Store of the real pairs of one split."""
    return f"results/{dataset}/{size}px/real/{split}"


def classes(dataset: str) -> str:
    """Names and colours of a dataset's classes."""
    return f"results/{dataset}/classes.json"


def generator(dataset: str, name: str) -> str:
    """Folder of a trained generator."""
    return f"results/{dataset}/generators/{name}"


def set_of(folder: str) -> str:
    """A store as a measured set: `real-val`, or `SOURCE-shard-0000`."""
    return "-".join(folder.split("/")[3:])


def store_of(dataset: str, size: int | str, pairs: str) -> str:
    """The store of a measured set; the inverse of `set_of`."""
    base, part = pairs.split("-", 1)
    return f"results/{dataset}/{size}px/{base}/{part}"


def evaluator(resolved: dict) -> tuple[str, int]:
    """The segmenter and seed whose features everything is measured by."""
    return resolved["measures"]["evaluator"], resolved["measures"]["evaluator_seed"]


def evaluator_folder(dataset: str, size: int | str, segmenter: str, seed: int | str) -> str:
    """Folder of the trained evaluator: a segmenter of the real training pairs."""
    return f"results/{dataset}/{size}px/segmentation/real/{segmenter}/seed-{seed}"


def neighbours_of(dataset: str, size: int | str, segmenter: str, seed: int | str, pairs: str) -> str:
    """Folder of a set's nearest training patches."""
    return f"results/{dataset}/{size}px/neighbours/{segmenter}-{seed}/{pairs}"


def scenes(dataset: str, part: str, count: int) -> list[str]:
    """Raw files of the demo; how many there are is part of the config."""
    return [f"results/{dataset}/raw/{part}/scene_{scene:03d}.png" for scene in range(count)]


@dataclass(frozen=True)
class Layout:
    """The paths that depend on a config: `config` as the user wrote it, `resolved` with every stanza whole."""

    config: dict
    resolved: dict
    _runs: dict[str, list[Run]] = field(default_factory=dict)

    def shards(self, dataset: str, size: int | str, source: str, ratio: int) -> list[str]:
        """Stores of R units of a source.

        Raises:
            ConfigError: the source makes pairs of another size.
        """
        self.check_size(size, source)
        shards = names.shard_names(ratio, self.resolved["sources"][source]["shards"])
        return [f"results/{dataset}/{size}px/{source}/shard-{shard}" for shard in shards]

    def check_size(self, size: int | str, source: str) -> None:
        """Refuse paths that would put a source's pairs under another size than theirs."""
        made = source_size(self.resolved, source)
        if int(size) != made:
            raise ConfigError(f"sources.{source}", f"it makes pairs of {made} px, not {size} px.", f"Ask for {made}px.")

    def stages(self, dataset: str, source: str) -> list[str]:
        """Folders of the generators that a source chains."""
        return [generator(dataset, name) for name in slices.stages(self.resolved, source)]

    def generator_stores(self, dataset: str, name: str) -> list[str]:
        """Stores that a generator is trained on."""
        stanza = self.resolved["generators"][name]
        return [real(dataset, size, stanza["split"]) for size in slices.generator_sizes(stanza)]

    def origin(self, dataset: str, size: int | str, source: str) -> str:
        """Store of the real pairs that a source is made from: it says how many pairs a unit of R has."""
        self.check_size(size, source)
        return real(dataset, size, split_of(self.resolved, source))

    def training_stores(self, dataset: str, size: int | str, training_set: str) -> tuple[list[str], list[str]]:
        """Real and synthetic stores of a training set.

        Raises:
            ConfigError: a source was made from pairs that the training set is judged on, or is of another size.
        """
        parsed = names.parse_training_set(training_set, self.resolved["sources"])
        for source, _ in parsed.parts if parsed.base else ():
            check_origin(training_set, source, parsed.base, self.resolved)
        own = [real(dataset, size, slices.SPLITS[parsed.base][0])] if parsed.base else []
        made = [folder for source, ratio in parsed.parts for folder in self.shards(dataset, size, source, ratio)]
        return own, made

    def parts(self, dataset: str, size: int | str, segmenter: str) -> list[str]:
        """Folders of the generator and of the evaluator that a segmenter is trained around."""
        searched = generator(dataset, self.resolved["segmenters"][segmenter]["generator"])
        return [searched, evaluator_folder(dataset, size, *evaluator(self.resolved))]

    def test_store(self, dataset: str, size: int | str, training_set: str) -> str:
        """`fit` is judged on the held-out part of train, everything else on val."""
        return real(dataset, size, slices.SPLITS["fit" if training_set.split("+")[0] == "fit" else "real"][1])

    def runs(self, experiment: str) -> list[Run]:
        """The segmentation runs of an experiment."""
        if experiment not in self._runs:
            self._runs[experiment] = runs_of(experiment, self.config, self.resolved)
        return self._runs[experiment]

    def systems(self, name: str) -> list[Run]:
        """The runs whose answers a figure shows: D and D∪D' at one R, of one segmenter, some or all, of one seed (confusion: all)."""
        figure = self.resolved["figures"][name]
        if figure["view"] not in ("confusion", "predictions"):
            return []
        runs = [run for run in self.runs(figure["experiment"]) if run.dataset == figure["dataset"] and run.arm in ("real", "union")]
        ratio = figure["ratio"] or min((run.ratio for run in runs if run.ratio), default=0)
        seeds = {run.seed for run in runs} if figure["view"] == "confusion" else {runs[0].seed}
        runs = [run for run in runs if run.ratio in (0, ratio) and run.seed in seeds]
        alone = figure["segmenter"] or (runs[0].segmenter if figure["view"] == "confusion" else None)
        wanted = figure.get("segmenters") or ([alone] if alone else list(dict.fromkeys(run.segmenter for run in runs)))
        return [run for segmenter in wanted for run in runs if run.segmenter == segmenter]

    def run_files(self, experiment: str, *files: str) -> list[str]:
        """These files of every run of an experiment."""
        return files_of([run.folder for run in self.runs(experiment)], *files)

    def ground(self, experiment: str) -> list[str]:
        """What a table needs of the real data: the cards of both splits, and the classes."""
        stanza = self.resolved["experiments"][experiment]
        found = []
        for dataset in stanza["datasets"]:
            train, val = (real(dataset, stanza["size"], split) for split in slices.SPLITS[stanza["base"]])
            found += [f"{train}/card.json", f"{val}/card.json", classes(dataset)]
        return found

    def scene_indices(self, experiment: str) -> list[str]:
        """The scene of every pair that a table is judged on; their hashes stand in the cards."""
        stanza = self.resolved["experiments"][experiment]
        return [f"{real(dataset, stanza['size'], slices.SPLITS[stanza['base']][1])}/index.csv" for dataset in stanza["datasets"]]

    def admissions(self, experiment: str) -> list[str]:
        """Cards of the admitted shards that the runs of an experiment train on: they say what was rejected, and why."""
        sources, found = self.resolved["sources"], {}
        for run in self.runs(experiment):
            for source, ratio in names.parse_training_set(run.training_set, sources).parts:
                if "admit" in sources[source]:
                    found |= dict.fromkeys(self.shards(run.dataset, run.size, source, ratio))
        return files_of(list(found), "card.json")

    def experiments(self) -> list[str]:
        """Tables that `run` names, in its order."""
        return [name for name in self.resolved["run"] if name in self.resolved["experiments"]]

    def figures(self) -> list[str]:
        """Figures that `run` names, in its order."""
        return [name for name in self.resolved["run"] if name in self.resolved["figures"]]

    def datasets(self) -> list[str]:
        """Datasets of the tables, figures and exports that `run` names, in the order of the config."""
        named = {dataset for name in self.experiments() for dataset in self.resolved["experiments"][name]["datasets"]}
        named |= {self.resolved["figures"][name].get("dataset") for name in self.figures()}
        named |= {stanza.get("dataset") for name, stanza in self.resolved["exports"].items() if name in self.resolved["run"]}
        return [dataset for dataset in self.resolved["datasets"] if dataset in named]

    def report_generators(self) -> list[str]:
        """Cards of the generators behind the tables and figures."""
        runs = [run for experiment in self.experiments() for run in self.runs(experiment)]
        trained = [
            (run.dataset, source)
            for run in runs
            for source, _ in names.parse_training_set(run.training_set, self.resolved["sources"]).parts
        ]
        segmenters = self.resolved["segmenters"]
        searched = {
            generator(run.dataset, segmenters[run.segmenter]["generator"]) for run in runs if takes_parts(segmenters[run.segmenter])
        }
        stanzas = [self.resolved["experiments"][experiment] for experiment in self.experiments()]
        measured = [(dataset, source) for stanza in stanzas for dataset in stanza["datasets"] for source in stanza["sources"]]
        # The methods figure draws made-up scenes; its source says only which codes.
        figures = [figure for figure in map(self.resolved["figures"].get, self.figures()) if figure["view"] != "methods"]
        drawn = [(figure, self.stages(figure["dataset"], figure[role])) for figure in figures for role in ROLES if figure.get(role)]
        # A denoising figure shows the first stage of a source alone.
        shown = [folder for figure, stages in drawn for folder in (stages[:1] if figure["view"] == "denoising" else stages)]
        made = [folder for pair in (*trained, *measured) for folder in self.stages(*pair)]
        return files_of(sorted({*made, *shown, *searched}), "card.json")

    def report_evaluators(self) -> list[str]:
        """Cards of the segmenters whose features tables and figures measure by, and encoders are trained by."""
        tables = [self.resolved["experiments"][name] for name in self.experiments()]
        places = [(dataset, stanza["size"]) for stanza in tables if stanza["view"] == "fidelity" for dataset in stanza["datasets"]]
        runs = [run for name in self.experiments() for run in self.runs(name)]
        places += [(run.dataset, run.size) for run in runs if takes_parts(self.resolved["segmenters"][run.segmenter])]
        figures = [self.resolved["figures"][name] for name in self.figures()]
        searched = [figure for figure in figures if figure["view"] == "memorisation"]
        places += [(figure["dataset"], source_size(self.resolved, figure["source"])) for figure in searched]
        return sorted({f"{evaluator_folder(*place, *evaluator(self.resolved))}/card.json" for place in places})

    def figure_inputs(self, name: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """What a figure shows: plain files by role, and stores (role -> folders, which are one store when joined in order)."""
        figure = self.resolved["figures"][name]
        view, dataset = figure["view"], figure.get("dataset")

        def size(role: str) -> int:
            return source_size(self.resolved, figure[role])

        def shards(role: str) -> list[str]:
            # All of R = 1: a draw from the first alone would leave most pairs no chance.
            return self.shards(dataset, size(role), figure[role], 1)

        def beside(role: str) -> list[str]:
            return [real(dataset, size(role))]

        if view == "class_distribution":
            cards = {"real": files_of(beside("source"), "card.json"), "synthetic": files_of(shards("source"), "card.json")}
            return {"classes": [classes(dataset)], **cards}, {}
        if view == "pairs":
            own = {"real": beside("source")} if figure["real"] else {}
            return {"classes": [classes(dataset)]}, {**own, "synthetic": shards("source")}
        if view == "memorisation":
            place, made = (dataset, size("source"), *evaluator(self.resolved)), shards("source")
            folders = [neighbours_of(*place, pairs) for pairs in (HELD_OUT, *map(set_of, made))]
            found = files_of(folders, "neighbours.csv")
            searched = {"null": found[:1], "neighbours": found[1:], "searched": files_of(folders, "card.json")}
            return {"classes": [classes(dataset)], **searched}, {"synthetic": made, "train": beside("source")}
        if view == "contrast":
            return {"classes": [classes(dataset)]}, {"real": beside("first"), "first": shards("first"), "second": shards("second")}
        if view == "methods":
            return {"classes": [classes(dataset)]}, {}
        if view == "upscaling":
            return {"classes": [classes(dataset)]}, {"low": shards("low"), "high": shards("source")}
        if view == "denoising":
            folder = f"results/{dataset}/denoising/{name}"
            made = {"images": [f"{folder}/images.npy"], "masks": [f"{folder}/masks.npy"], "cards": [f"{folder}/card.json"]}
            return {"classes": [classes(dataset)], **made}, {}
        if view in ("ratio_curve", "occurrence", "class_forest"):
            return {"table": [f"results/tables/{figure['experiment']}.csv"]}, {}
        systems = self.systems(name)
        if view == "confusion":
            folders = [run.folder for run in systems]
            scored = {"confusions": files_of(folders, "confusion.npy"), "metrics": files_of(folders, "metrics.json")}
            return {"classes": [classes(dataset)], **scored}, {}
        if view == "predictions":
            folders = [f"{run.folder}/predictions/{name}" for run in systems]
            made = {"masks": files_of(folders, "masks.npy"), "cards": files_of(folders, "card.json")}
            return {"classes": [classes(dataset)], **made}, {"val": [self.test_store(dataset, systems[0].size, systems[0].training_set)]}
        generators = [f"{generator(dataset, entry)}/history.csv" for entry in figure.get("generators", [])]
        runs = self.run_files(figure["experiment"], "history.csv") if "experiment" in figure else []
        return {"history": generators + runs}, {}

import os
import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from satsynth.plan import admission, exports, gallery, layout, measures, names, raw, selection, slices
from satsynth.plan.closure import digests, module_of
from satsynth.plan.config import resolve
from satsynth.plan.presets import load_preset, read_yaml
from satsynth.plan.stanzas import AUGMENTATIONS, FORMATS, GENERATORS, NETWORKS, sizes_of, takes_parts
from satsynth.plan.twice import check_written_once
from satsynth.plan.validation import validate
from satsynth.reporting.captions import CAPTIONS, group_of
from satsynth.runtime.devices import has_accelerator
from satsynth.runtime.errors import SatsynthError

RULES = Path(workflow.basedir) / "rules"
ENVIRONMENT = "../envs/satsynth.yaml"


def load_config():
    check_written_once(workflow.configfiles)
    validate(config, read_yaml(RULES / "schemas/config.schema.yaml"))
    return resolve(config, load_preset(RULES / "presets", config["preset"]))


try:
    CONFIG = load_config()
except SatsynthError as error:
    raise WorkflowError(str(error)) from None

# Jobs inherit it; it is no param, since waiting changes no result.
os.environ.update(SATSYNTH_DEVICE_WAIT=str(CONFIG["devices"]["wait_seconds"]))

DATASETS = CONFIG["datasets"]
SOURCES = CONFIG["sources"]
ADMITTED = [name for name, source in SOURCES.items() if "admit" in source]
AUGMENTED = [name for name, source in SOURCES.items() if "augment" in source]
# Segmenters that are trained around a generator and the evaluator.
ENCODERS = [name for name, segmenter in CONFIG["segmenters"].items() if takes_parts(segmenter)]
LAYOUT = layout.Layout(config, CONFIG)
SELECTIONS = selection.tables(CONFIG)
PLACES = gallery.places(LAYOUT)
config["captions"] = CAPTIONS  # for the captions of `snakemake --report`, which read nothing else
# Under an executor (--jobs) each job has cores and devices of its own, on a machine that this one knows nothing of; there the job reads these
# lines again and must come to the same numbers. Here, two trainings at once on the same cores are many times slower than one after the other,
# but small networks use one core better than two: where a preset says so, segmenters train and shards are sampled side by side, each on cores
# of its own, and generators share the cores.
ELSEWHERE = workflow.remote_exec or workflow.resource_settings.nodes is not None
TRAINING_THREADS = CONFIG["devices"]["threads"] or 8
if ELSEWHERE or has_accelerator():
    GENERATOR_THREADS = SMALL_THREADS = SCORING_THREADS = TRAINING_THREADS
else:
    SMALL_THREADS = min(CONFIG["devices"]["cpu_threads"] or workflow.cores, workflow.cores)
    GENERATOR_THREADS = max(SMALL_THREADS, workflow.cores // max(1, len(CONFIG["generators"])))
    # Scoring is short, and much of it is starting up: several at once are faster.
    SCORING_THREADS = max(1, workflow.cores // 4)


wildcard_constraints:
    dataset=names.alternatives(DATASETS),
    size="[0-9]+",
    split="train|val|fit|held",
    generator=names.alternatives(CONFIG["generators"]),
    source=names.alternatives(SOURCES),
    baseline=names.alternatives(SOURCES),
    shard=f"[0-9]{{{names.SHARD_DIGITS}}}",
    segmenter=names.alternatives(CONFIG["segmenters"]),
    training_set="[a-z0-9_+-]+",
    seed="[0-9]+",
    pairs=measures.set_pattern(SOURCES),
    measured=names.alternatives([measures.REAL, *SOURCES]),
    experiment=names.alternatives(CONFIG["experiments"]),
    figure=names.alternatives(CONFIG["figures"]),
    export=names.alternatives(CONFIG["exports"]),


def tracked_store(folder, role=""):
    """A store as named inputs: the card counts by its content, the big files never by their times."""
    return {part: path if part.endswith("card") else ancient(path) for part, path in layout.store(folder, role).items()}


def figure_inputs(wildcards):
    """A figure's files by role; the stores of a role as four lists of files."""
    files, stores = LAYOUT.figure_inputs(wildcards.figure)
    # Arrays count through the metrics or cards beside them, which bear their hashes.
    files = {
        name: ancient(paths) if name in ("confusions", "images", "masks", "null", "neighbours") else paths for name, paths in files.items()
    }
    for role, folders in stores.items():
        parts = [tracked_store(folder, f"{role}_") for folder in folders]
        files |= {name: [part[name] for part in parts] for name in parts[0]}
    return files


def raw_root(dataset):
    """Where the raw files lie: below results/ for the demo."""
    if DATASETS[dataset]["format"] == "demo":
        return Path(f"results/{dataset}/raw")
    return raw.root_of(DATASETS[dataset], CONFIG["data_root"])


def raw_inputs(dataset):
    """Demo scenes are made by a rule; other raw data count through params `raw` (they may be hundreds of thousands of files)."""
    if DATASETS[dataset]["format"] != "demo":
        return {}
    scenes = {part: ancient(layout.scenes(dataset, part, DATASETS[dataset]["world"]["scenes"])) for part in ("images", "masks")}
    return {"card": f"{raw_root(dataset)}/scenes.json", **scenes}


def raw_digest(dataset):
    """What the raw files are, wherever they lie; None for the demo, whose card says it."""
    if DATASETS[dataset]["format"] == "demo":
        return None
    try:
        return raw.digest(raw_root(dataset), dataset)
    except SatsynthError as error:
        # Said at once, rather than one after the other as each is mended.
        others = [other for other in LAYOUT.datasets() if other != dataset and DATASETS[other]["format"] != "demo"]
        absent = [f"{other} ({raw_root(other).absolute()})" for other in others if not raw_root(other).is_dir()]
        also = f" Not there either: {', '.join(absent)}." if absent else ""
        raise WorkflowError(str(error) + also) from None


def checked_datasets():
    """Every stanza of the config; the demo only where there is nothing else."""
    return [name for name, stanza in DATASETS.items() if stanza["format"] != "demo"] or list(DATASETS)


def raw_facts(dataset):
    """What the raw files are, and why they cannot be listed: [subject, cause, remedy], or None. It is told on the page, and stops nothing."""
    if DATASETS[dataset]["format"] == "demo":
        return {"digest": None, "trouble": None}
    try:
        return {"digest": raw.digest(raw_root(dataset), dataset), "trouble": None}
    except SatsynthError as error:
        return {"digest": None, "trouble": [error.subject, error.cause, error.remedy]}


def tile_outputs(dataset):
    """The stores of every size of a dataset, for one split."""
    return {
        f"{part}_{size}": path
        for size in sizes_of(DATASETS[dataset])
        for part, path in layout.store(layout.real(dataset, size, "{split}")).items()
    }


def set_files(*files):
    """Files of all stores of a training set, as an input function."""
    return lambda wildcards: layout.files_of(
        sum(LAYOUT.training_stores(wildcards.dataset, wildcards.size, wildcards.training_set), []), *files
    )


def part_files(file):
    """One file of the generator and of the evaluator that a segmenter is trained around, as an input function."""
    return lambda wildcards: layout.files_of(LAYOUT.parts(wildcards.dataset, wildcards.size, wildcards.segmenter), file)


def test_store(file):
    """One file of the store that a training set is judged on, as an input function."""
    return lambda wildcards: f"{LAYOUT.test_store(wildcards.dataset, wildcards.size, wildcards.training_set)}/{file}"


def generator_files(file):
    """One file of every store that a generator is trained on, as an input function."""
    return lambda wildcards: layout.files_of(LAYOUT.generator_stores(wildcards.dataset, wildcards.generator), file)


def stage_files(file):
    """One file of every generator that a source chains, as an input function."""

    def files(wildcards):
        LAYOUT.check_size(wildcards.size, wildcards.source)
        return layout.files_of(LAYOUT.stages(wildcards.dataset, wildcards.source), file)

    return files


def first_stage(file):
    """One file of the generator that the source of a figure begins with, as an input function."""
    return lambda wildcards: f"{LAYOUT.stages(wildcards.dataset, CONFIG['figures'][wildcards.figure]['source'])[0]}/{file}"


def origin_files(file):
    """One file of the store of real pairs that a source is made from, in a list, as an input function."""

    def files(wildcards):
        return layout.files_of([LAYOUT.origin(wildcards.dataset, wildcards.size, wildcards.source)], file)

    return files


def measured(file):
    """One file of the store of a measured set, as an input function."""
    return lambda wildcards: f"{layout.store_of(wildcards.dataset, wildcards.size, wildcards.pairs)}/{file}"


def networks(segmenter):
    """The module of a segmenter's network and, where it is trained around the evaluator, of the evaluator's."""
    used = [segmenter, *([CONFIG["measures"]["evaluator"]] if segmenter in ENCODERS else [])]
    return [module_of(CONFIG["segmenters"][name]["network"], NETWORKS) for name in used]


def evaluator_file(file):
    """One file of the trained evaluator: a segmenter of the real training pairs."""
    return f"{layout.evaluator_folder('{dataset}', '{size}', '{segmenter}', '{seed}')}/{file}"


def fidelity_inputs(wildcards):
    """Features and stores of the reference, then of all sets of what is measured."""
    place, by = (wildcards.dataset, wildcards.size), (wildcards.segmenter, wildcards.seed)
    sets = [measures.REFERENCE, *measures.sets_of(LAYOUT, *place, wildcards.measured)]
    features = [measures.features_of(*place, *by, pairs) for pairs in sets]
    stores = [layout.store_of(*place, pairs) for pairs in sets]
    return {
        "arrays": ancient(layout.files_of(features, *measures.FEATURES[:-1])),
        "features": layout.files_of(features, "card.json"),
        "pairs": ancient(layout.files_of(stores, "images.npy", "masks.npy", "index.csv")),
        "stores": layout.files_of(stores, "card.json"),
    }


def compared_inputs(wildcards):
    """The shards of one unit of two sources."""
    units = {
        role: LAYOUT.shards(wildcards.dataset, wildcards.size, source, 1)
        for role, source in (("measured", wildcards.source), ("baseline", wildcards.baseline))
    }
    cards = {role: layout.files_of(folders, "card.json") for role, folders in units.items()}
    return cards | {"pairs": ancient(layout.files_of(sum(units.values(), []), "images.npy", "masks.npy", "index.csv"))}


def fidelity_table_inputs(wildcards):
    """What a fidelity table is made of by role; big files count through the cards beside them."""
    files = measures.table_files(LAYOUT, wildcards.experiment)
    return {role: ancient(paths) if role in ("neighbours", "confusions", "indices") else paths for role, paths in files.items()}


def gallery_inputs(wildcards):
    """What a place of the gallery is made of: cards count, and the big files beside them do not."""
    files = gallery.inputs(LAYOUT, gallery.place_of(LAYOUT, wildcards.dataset, wildcards.size, wildcards.source))
    pairs, train = files.pop("pairs"), files.pop("train", [])
    found = {role: ancient(paths) if role in ("neighbours", "null") else paths for role, paths in files.items()}
    found |= {"cards": layout.files_of(pairs, "card.json"), "pairs": ancient(layout.files_of(pairs, *layout.STORE[:-1]))}
    return found | (
        {"train_cards": layout.files_of(train, "card.json"), "train": ancient(layout.files_of(train, *layout.STORE[:-1]))} if train else {}
    )


def gallery_outputs(*wildcards):
    """The files of a place; its strip of pairs stands for all of them in `snakemake --report`, which embeds single files."""
    files = gallery.outputs(CONFIG, gallery.folder(*wildcards))
    labels = {"source": "{source} on {dataset}, {size} px"}
    return files | {"strip": report(files["strip"], caption="captions/gallery.rst", category="Pairs", labels=labels)}


def figure_group(wildcards):
    """The heading that a figure stands under in `snakemake --report`, as in ours."""
    return group_of(CONFIG["figures"][wildcards.figure]["view"])


def judge_file(file):
    """One file of the trained judge: a segmenter of the fit pairs."""
    return f"{admission.judge_folder('{dataset}', '{size}', '{segmenter}', '{seed}')}/{file}"


def bank_files(wildcards):
    """The real pairs that a scored set might be copies of, and the judge's features of them."""
    place, bank = (wildcards.dataset, wildcards.size), admission.bank_of(CONFIG, wildcards.scored)
    features = f"{admission.folder(*place, wildcards.segmenter, wildcards.seed)}/features/{bank}"
    described = {"bank_pooled": ancient(f"{features}/pooled.npy"), "bank_features": f"{features}/card.json"}
    return tracked_store(layout.real(*place, bank), "bank_") | described


def scored_files(wildcards):
    """The store of a scored set."""
    return tracked_store(layout.store_of(wildcards.dataset, wildcards.size, wildcards.scored), "store_")


def admission_files(wildcards):
    """The shard that is admitted from, with its scores and what they are held against."""
    LAYOUT.check_size(wildcards.size, wildcards.source)
    place, parent = (wildcards.dataset, wildcards.size), SOURCES[wildcards.source]["admit"]
    judged = admission.folder(*place, *admission.judge(CONFIG))
    scores = f"{judged}/scores/{parent}-shard-{wildcards.shard}"
    shard = tracked_store(layout.store_of(*place, f"{parent}-shard-{wildcards.shard}"), "store_")
    arrays = {name: ancient(f"{scores}/{name}.{kind}") for name, kind in (("losses", "npy"), ("neighbours", "csv"))}
    return {**shard, **arrays, "scores": f"{scores}/card.json", "calibration": f"{judged}/calibration.json"}


def export_inputs(export):
    """What an export is made of by role; large files count through the cards beside them."""
    counted, large = exports.inputs(LAYOUT, export)
    return counted | {role: ancient(paths) for role, paths in large.items()}


def code(script, *modules):
    """Digests of everything that a rule's script runs."""
    return digests(f"workflow_scripts/{script}.py", modules)


def kinds(*generators):
    """The modules of these generators."""
    return [module_of(CONFIG["generators"][name]["kind"], *GENERATORS) for name in generators]


def targets():
    """Every table, figure and export that the config's `run` names, and the report."""
    exported = [[*exports.outputs(export).values(), *exports.folders(CONFIG, export).values()] for export in exports.named(CONFIG)]
    return [
        *sum(exported, []),
        *expand("results/tables/{table}.{kind}", table=LAYOUT.experiments(), kind=["csv", "md", "tex"]),
        *expand("results/figures/{figure}.{kind}", figure=LAYOUT.figures(), kind=["png", "pdf"]),
        "results/report/index.html",
        *([gallery.PAGE] if PLACES else []),
    ]

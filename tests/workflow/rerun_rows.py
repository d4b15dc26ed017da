"""What the rerun matrix says: by hand the rules that a change of each leaf of its config runs."""

PAGE = {"write_report"}
GALLERY = {"pack_gallery", "build_gallery"}  # of the demo's cascade
FIGURE = {"draw_figure"} | PAGE
TABLE = {"tabulate_runs"} | FIGURE  # the ratio curve is drawn from the table
EVALUATION = {"evaluate_segmenter"} | TABLE
RUNS = {"train_segmenter"} | EVALUATION
EXPORT = {"export_pairs_trainset"}  # of the demo's cascade, with its measures
SCORES = {"score_fidelity", "tabulate_fidelity"} | PAGE | EXPORT
SEARCH = {"find_neighbours", "tabulate_fidelity"} | FIGURE | GALLERY | EXPORT
ALONE = {"train_segmenter", "evaluate_segmenter", "tabulate_fidelity"} | PAGE  # runs of a fidelity table that no other table shares
MEASURES = {"extract_features"} | SCORES | SEARCH  # of the demo's cascade, by its fpn
SHOWN = {"predict_masks"}  # of the demo's fpn on D and on D with the cascade's pairs
TRACED = {"trace_denoising"}  # of the demo's `base`
AUGMENTED = {"augment_pairs"} | RUNS  # of the demo's pairs
SHARDS = {"sample_pairs"} | RUNS | GALLERY
GENERATOR = {"train_generator"} | SHARDS
DEMO = {"tile_patches_demo"} | GENERATOR | TRACED | AUGMENTED | SHOWN | MEASURES
DEMO_VAL = {"tile_patches_demo"} | EVALUATION | SHOWN | MEASURES
TOWN = ({"tile_patches_town"} | GENERATOR) - GALLERY
TOWN_VAL = {"tile_patches_town"} | EVALUATION
CLASSES = {"describe_classes"} | TABLE
CHAIN = SHARDS | TRACED | SHOWN | MEASURES  # of G in `base` and in the cascade
NOTHING: set[str] = set()

# (leaf, another value, rules). `*` stands for one or more keys; the first row that fits a leaf counts.
ROWS = [
    ("run", ["gain"], PAGE),
    ("data_root", None, "elsewhere"),
    ("preset", None, "elsewhere"),
    ("dataset", None, "elsewhere"),
    ("devices.wait_seconds", 5, NOTHING),
    ("devices.threads", 3, NOTHING),
    ("devices.cpu_threads", 2, NOTHING),
    ("*.gpu", 2, NOTHING),  # how many devices share a job
    ("report.title", "Another title", PAGE | {"build_gallery"}),
    ("report.gallery.sources", ["cutout"], {"augment_pairs", "extract_features", "find_neighbours"} | GALLERY | PAGE),  # of town, too
    ("report.gallery.*", "other", GALLERY | PAGE),
    # Raw data and how they are read
    ("datasets.demo.world.scenes", 5, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.world.size", 192, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.world.zoom", 2, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.world.seed", 9, {"generate_scenes_demo"} | DEMO),
    ("datasets.demo.format", None, "elsewhere"),
    ("datasets.town.format", "isaid", "elsewhere"),
    ("datasets.town.root", "elsewhere", "elsewhere"),
    ("datasets.*.licence", "CC-BY-4.0", PAGE),
    ("datasets.demo.background", 0, AUGMENTED),
    ("datasets.town.background", 0, TABLE),  # nothing of it is augmented
    ("datasets.town.classes", "rename", CLASSES),
    ("datasets.town.label_map.*", "ignore", TOWN),
    ("datasets.demo.label_map", {"0": "ignore"}, "elsewhere"),
    ("datasets.*.held.share", 0.4, NOTHING),
    ("datasets.*.held.seed", 4, NOTHING),  # no training set of this config is built on fit
    ("datasets.*.patches.remainder.val", "drop", "val"),
    ("datasets.*.patches.reduced", [16], "elsewhere"),
    ("datasets.*.patches.size", None, "elsewhere"),
    ("datasets.*.patches.*", {"stride": 32, "resize": 128, "max_ignore": 0.5, "max_pixels": 10**8, "train": "drop"}, "tiles"),
    ("datasets.*.split.by", None, "elsewhere"),
    ("datasets.*.split.*", {"val": 0.5, "seed": 3}, "tiles"),
    ("datasets.*.images", "pictures", "tiles"),
    ("datasets.*.labels", "truth", "tiles"),
    ("datasets.*.ignore", 88, "tiles"),
    ("datasets.*.unknown", "ignore", "tiles"),
    ("datasets.*.bands", [3, 2, 1], "tiles"),
    ("datasets.*.scale", "auto", "tiles"),
    # Generators and sources
    ("generators.*.kind", None, "elsewhere"),
    ("generators.*.size", None, "elsewhere"),
    ("generators.*.low", None, "elsewhere"),
    ("generators.*.split", None, "elsewhere"),
    ("generators.*.codes", "other", GENERATOR | TRACED | SHOWN | MEASURES),  # of all stages at once
    ("generators.satsynth.*", "other", GENERATOR | TRACED | SHOWN | MEASURES),
    ("generators.*", "other", GENERATOR | SHOWN | MEASURES),
    ("sources.base.sampler.*", "other", CHAIN),  # of both sources that the upscaling figure shows, here and below
    ("sources.base.seed", 7, CHAIN),
    ("sources.base.block", 2, CHAIN),
    ("sources.cascade.sampler.*", "other", CHAIN),
    ("sources.cascade.seed", 7, CHAIN),
    ("sources.cascade.block", 2, CHAIN),
    ("sources.base.shards", 3, {"sample_pairs"} | FIGURE),
    ("sources.base.compile", True, {"sample_pairs"} | FIGURE),
    ("sources.*.generator", None, "elsewhere"),
    ("sources.*.then", None, "elsewhere"),
    ("sources.cascade.*", "other", SHARDS | SHOWN | MEASURES),
    ("sources.*.augment", None, "elsewhere"),
    ("sources.*.size", None, "elsewhere"),
    ("sources.*.split", None, "elsewhere"),
    ("sources.*", "other", AUGMENTED),
    # Segmenters
    ("segmenters.*.network", None, "elsewhere"),
    ("segmenters.fpn.exposures", None, "elsewhere"),
    ("segmenters.pspnet_exposures.*", "other", NOTHING),  # a control of `augmentations`, which is not in this `run`
    ("segmenters.*.evaluation.*", "other", EVALUATION | {"tabulate_fidelity"}),  # of fpn, which it trains on the cascade alone
    ("segmenters.segdiff.sampler.method", "ancestral", EVALUATION),  # how a trained network predicts
    ("segmenters.segdiff.sampler.spacing", "karras", EVALUATION),
    ("segmenters.segdiff.sampler.variance", "fixed_small", EVALUATION),
    ("segmenters.segdiff.sampler.*", "other", EVALUATION),
    ("segmenters.segdiff.ensemble.combine", "vote", EVALUATION),
    ("segmenters.segdiff.ensemble.*", "other", EVALUATION),
    ("segmenters.fpn.*", "other", RUNS | SHOWN | MEASURES),
    ("segmenters.*", "other", RUNS),
    # Measures
    ("measures.evaluator", "pspnet", MEASURES),  # trained for `extra` already
    ("measures.evaluator_seed", 1, {"train_segmenter"} | MEASURES),
    ("measures.null_quantile", 0.05, {"tabulate_fidelity"} | FIGURE | GALLERY | EXPORT),
    ("measures.pixels", 16, SEARCH),
    ("measures.neighbours", 2, SCORES),
    ("measures.coverage_neighbours", 2, SCORES),
    ("measures.*", "other", SCORES),
    # Nothing is admitted here: tests/workflow/test_selection_run.py
    ("admission.judge", "pspnet", NOTHING),
    ("admission.seed", 1, NOTHING),
    ("admission.min_pixels", 5, NOTHING),
    # Tables and figures
    ("experiments.fidelity.title", "Other words", {"tabulate_fidelity"} | PAGE),
    ("experiments.fidelity.sources", ["cascade", "cutout"], (MEASURES - {"draw_figure"} - EXPORT) | ALONE),
    ("experiments.fidelity.alone", "pspnet", ALONE),
    ("experiments.fidelity.seeds", [0, 1], ALONE),
    ("experiments.*.size", None, "elsewhere"),
    ("experiments.*.view", None, "elsewhere"),
    ("experiments.*.base", None, "elsewhere"),
    ("experiments.gain.datasets", ["demo"], TABLE),
    ("experiments.gain.seeds", [0, 1], RUNS),
    ("experiments.data.*", None, "elsewhere"),
    ("experiments.fidelity.*", None, "elsewhere"),
    ("experiments.*.sources", None, "elsewhere"),
    ("experiments.augmentations.*", None, "elsewhere"),
    ("experiments.*.datasets", None, "elsewhere"),
    ("experiments.*.seeds", None, "elsewhere"),
    ("experiments.extra.title", "Other words", {"tabulate_runs"} | PAGE),  # no figure is drawn from it, and `classes` has its own
    ("experiments.*.title", "Other words", TABLE),
    ("experiments.*.confidence", 0.9, TABLE),
    ("experiments.*.replicates", 60, TABLE),
    ("experiments.*.bootstrap_seed", 4, TABLE),
    ("experiments.*.choice_confidence", None, "elsewhere"),
    ("experiments.gain.grid", "more", SHARDS - GALLERY),
    ("experiments.*.grid", None, "elsewhere"),
    ("figures.*.view", None, "elsewhere"),
    ("figures.*.dataset", None, "elsewhere"),
    ("figures.*.source", None, "elsewhere"),
    ("figures.*.low", None, "elsewhere"),
    ("figures.contrast.first", "cutout", FIGURE),
    ("figures.contrast.second", "copy_paste", FIGURE),
    ("figures.*.experiment", None, "elsewhere"),
    ("figures.*.generators", ["satsynth"], FIGURE),
    ("figures.denoising.moments", 3, TRACED | FIGURE),
    ("figures.denoising.count", 3, TRACED | FIGURE),
    ("figures.predictions.segmenters", ["fpn"], FIGURE),
    ("figures.predictions.count", 3, SHOWN | FIGURE),
    ("figures.predictions.seed", 3, SHOWN | FIGURE),
    ("figures.predictions.batch", 3, SHOWN | FIGURE),
    ("figures.*", "other", FIGURE),
    # Exports
    ("exports.*.dataset", None, "elsewhere"),
    ("exports.*.source", None, "elsewhere"),
    ("exports.*.ratio", 2, {"sample_pairs", "find_neighbours"} | EXPORT),
    ("exports.*", "other", EXPORT),
]

# Rows said "elsewhere" change what a name means (another format, size or chain), not a number: each has its words here.
ELSEWHERE = {
    "dataset": "other paths: tables and figures of another dataset, whose keys have rows of their own",
    "preset": "replaces every number: each of them has a row of its own",
    "data_root": "test_reruns: the place of the raw files is no part of what a job depends on",
    "datasets.town.root": "test_reruns: likewise",
    "datasets.*.format": "another reader: the same rule under other params (test_the_words_of_names)",
    "datasets.demo.label_map": "the demo knows its own labels and reads no map",
    "datasets.*.patches.size": "other paths (64px -> 128px): nothing of the old ones runs again",
    "datasets.*.patches.reduced": "other paths, likewise",
    "generators.*.kind": "another module with other keys",
    "generators.*.size": "other paths, likewise",
    "generators.*.low": "other paths, likewise",
    "generators.*.split": "other pairs, in an experiment of another base: tests/workflow/test_selection_run.py",
    "sources.*.split": "likewise",
    "sources.*.generator": "test_the_words_of_names",
    "sources.*.then": "other paths, likewise",
    "segmenters.*.network": "another module with other keys",
    "sources.*.augment": "another module with other keys",
    "sources.*.size": "other paths, likewise",
    "experiments.*.size": "other paths, likewise",
    "experiments.*.view": "another table; a ratio curve is drawn from gain tables only",
    "experiments.*.base": "test_the_words_of_names",
    "segmenters.fpn.exposures": "its control must keep half of it, so that one change of both is another experiment",
    "experiments.augmentations.*": "not in this `run`; its keys are those of `extra`",
    "experiments.data.*": "a table without runs: its keys are those of the others",
    "experiments.fidelity.*": "a table without intervals: its other keys are not read",
    "experiments.*.choice_confidence": "read by tables of view selection only: tests/workflow/test_selection_run.py",
    "experiments.*.sources": "read by tables of view fidelity only",
    "experiments.*.datasets": "said of experiments.gain",
    "experiments.*.seeds": "said of experiments.gain",
    "experiments.*.grid": "said of experiments.gain",
    "datasets.*.split.by": "one of its values is `scene`, the others are wildcards of patterns",
    "figures.*.view": "another module with other keys",
    "figures.*.dataset": "test_the_words_of_names",
    "figures.*.source": "test_the_words_of_names",
    "figures.*.low": "test_the_words_of_names",
    "exports.*.dataset": "test_the_words_of_names",
    "exports.*.source": "test_the_words_of_names",
    "figures.*.experiment": "another table or other runs: test_every_network plans both kinds",
}

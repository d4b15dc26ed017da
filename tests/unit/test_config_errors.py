"""Bad configs: each gets one typed error that names the key, the cause and the remedy."""

from datetime import date

import pytest
import yaml
from presets import GRID, load

from satsynth.plan.config import merge
from satsynth.plan.names import parse_training_set
from satsynth.runtime.errors import ConfigError

GAN = {"generators": {"gan": {"kind": "semgan", "size": 32}}}
SEARCHED = {
    "run": ["searched"],
    "generators": {"gan": {"kind": "semgan", "size": 64}},
    "segmenters": {"semgan": {"generator": "gan"}},
    "experiments": {"searched": {"view": "gain", "size": 64, "grid": [{"segmenters": ["semgan"], "sources": [], "ratios": [0]}]}},
}


@pytest.mark.parametrize(
    ("overlay", "key", "words"),
    [
        ({"sourcse": {}}, "sourcse", "Did you mean 'sources'"),
        ({"generators": {"satsynth": {"trainning": {}}}}, "generators.satsynth.trainning", "Did you mean 'training'"),
        ({"generators": {"satsynth": {"training": {"step": 3}}}}, "generators.satsynth.training.step", "Did you mean 'steps'"),
        ({"generators": {"satsynth": {"training": {"steps": "many"}}}}, "generators.satsynth.training.steps", "not of type 'integer'"),
        ({"generators": {"satsynth": {"steps": 3}}}, "generators.satsynth.steps", "deeper: schedule.steps or training.steps."),
        ({"training": {"steps": 3}}, "training", "deeper: generators.NAME.training or segmenters.NAME.training."),
        ({"sources": {"base": {"then_sampler": {"steps": 3}}}}, "sources.base.then_sampler", "upscaler under then"),
        ({"generators": {"satsynth": {"kind": "gan"}}}, "generators.satsynth.kind", "'gan' is not known"),
        ({"generators": {"satsynth": {"extends": "satsynt"}}}, "generators.satsynth.extends", "Did you mean 'satsynth'"),
        ({"generators": {"satsynth": {"extends": "satsynth"}}}, "generators.satsynth.extends", "circle"),
        ({"generators": {"Big": {"kind": "ddpm"}}}, "generators.Big", "lower-case"),
        ({"sources": {"real": {"generator": "satsynth"}}}, "sources.real", "cannot be used"),
        ({"sources": {"base": {"generator": "satsint"}}}, "sources.base.generator", "Did you mean 'satsynth'"),
        (
            {
                "generators": {"half": {"kind": "upscaler", "low": 16, "size": 32}},
                "sources": {"turned": {"generator": "satsynth", "then": "half"}},
            },
            "sources.turned.then",
            "enlarges pairs of 16 px",
        ),
        ({"sources": {"base": {"shards": 17}}}, "sources.base.shards", "17"),
        ({"segmenters": {"fpn": {"network": "fpm"}}}, "segmenters.fpn.network", "Did you mean 'fpn'"),
        ({"datasets": {"demo": {"format": "isaidd"}}}, "datasets.demo.format", "Did you mean 'isaid'"),
        ({"datasets": {"demo": {"patches": {"reduced": [30]}}}}, "datasets.demo.patches.reduced", "cannot be reduced to 30"),
        ({"datasets": {"town": {"root": "x"}}}, "datasets.town.images", "missing"),
        ({"datasets": {"town": {"classes": ["one"]}}}, "datasets.town.classes", "too short"),
        (
            {"datasets": {"town": {"root": "x", "images": "i", "labels": "m", "classes": ["a", "b"], "label_map": {"0": "c"}}}},
            "datasets.town.label_map.0",
            "'c' is no class",
        ),
        ({"run": ["gian"]}, "run", "Did you mean 'gain'"),
        ({"experiments": {"gain": {"size": 63}}}, "experiments.gain.size", "no patches of 63 px"),
        ({"experiments": {"gain": {"size": 32}}}, "experiments.gain.grid[0].sources", "makes pairs of 64 px"),
        ({"experiments": {"gain": {"datasets": ["dmeo"]}}}, "experiments.gain.datasets", "Did you mean 'demo'"),
        ({"experiments": {"gain": {"seeds": []}}}, "experiments.gain.seeds", "non-empty"),
        (
            {"experiments": {"gain": {"grid": [{"segmenters": ["fpn"], "sources": ["cascade"], "ratios": [0, -1]}]}}},
            "experiments.gain.grid[0].ratios[1]",
            "-1 is below 0",
        ),
        (
            {"experiments": {"gain": {"grid": [{"segmenters": ["fpn"], "sources": ["cascaed"], "ratios": [0, 1]}]}}},
            "experiments.gain.grid[0].sources",
            "Did you mean 'cascade'",
        ),
        ({"generators": {"satsynth": {"kind": "unet"}}}, "generators.satsynth.kind", "Known here: ddpm, semgan, upscaler"),
        ({"generators": {"gan": {"kind": "semgan", "size": 48}}}, "generators.gan.size", "cannot make pairs of 48 px"),
        ({"generators": {"gan": {"kind": "semgan", "size": 64, "prediction": "x0"}}}, "generators.gan.prediction", "kind semgan does not"),
        ({"generators": {"satsynth": {"mixing": 0.5}}}, "generators.satsynth.mixing", "kind ddpm does not"),
        ({"generators": {"satsynth": {"network": {"latent": 8}}}}, "generators.satsynth.network.latent", "kind ddpm does not"),
        ({"generators": {"satsynth": {"low": 16}}}, "generators.satsynth.low", "kind ddpm does not"),
        ({**GAN, "sources": {"gan": {"generator": "gan", "then": "upscaler"}}}, "sources.gan.then", "makes pairs at full size"),
        ({**GAN, "sources": {"gan": {"generator": "gan", "sampler": {"steps": 5}}}}, "sources.gan.sampler.steps", "kind semgan does not"),
        ({"sources": {"base": {"sampler": {"truncation": 0.5}}}}, "sources.base.sampler.truncation", "kind ddpm does not"),
        ({"generators": {"second": {"kind": "ddpm"}}}, "generators.second.size", "missing"),
        ({"generators": {"satsynth": {"training": {"accumulate": 3}}}}, "generators.satsynth.training.accumulate", "equal parts"),
        ({"segmenters": {"fpn": {"learning_rte": 0.1}}}, "segmenters.fpn.learning_rte", "Did you mean 'training.learning_rate'"),
        ({"segmenters": {"fpn": {"training": {"learning_rate": "0.01"}}}}, "segmenters.fpn.training.learning_rate", "0.01 without quotes"),
        ({"generators": {"satsynth": {"gpu": 3}}}, "generators.satsynth.gpu", "3 devices cannot share a batch of 16 in 1 parts"),
        ({"segmenters": {"fpn": {"gpu": 3}}}, "segmenters.fpn.gpu", "3 devices cannot share a batch of 16"),
        ({"segmenters": {"fpn": {"training": {"accumulate": 3}}}}, "segmenters.fpn.training.accumulate", "equal parts"),
        (merge(GAN, {"generators": {"gan": {"gpu": 2}}}), "generators.gan.gpu", "a generator of kind semgan does not read this key"),
        ({"generators": {"satsynth": {"size": 16}, "upscaler": {"low": 16}}}, "experiments.gain.grid[0].sources", "does not have"),
        ({"sources": {"turned": {"generator": "upscaler"}}}, "sources.turned.generator", "is an upscaler"),
        ({"generators": {"satsynth": {"network": {"multipliers": [1] * 7}}}}, "generators.satsynth.network", "do not divide by"),
        (
            {"generators": {"bare": {"kind": "ddpm", "size": 32, "prediction": "epsilon", "schedule": {"zero_terminal_snr": True}}}},
            "generators.bare.schedule.zero_terminal_snr",
            "pure noise",
        ),
        ({"generators": {"satsynth": {"min_snr": 5.0}}}, "generators.satsynth.min_snr", "a weighting of its own"),
        (
            {"generators": {"satsynth": {"previews": {"sampler": {"sigma_max": None}}}}},
            "generators.satsynth.previews.sampler.sigma_min",
            "no range of its own",
        ),
        (
            {"generators": {"upscaler": {"condition_noise": None}}},
            "generators.upscaler.previews.sampler.condition_level",
            "trained without noise on its condition",
        ),
        ({"sources": {"base": {"sampler": {"sigma_min": 2.0, "sigma_max": 1.0}}}}, "sources.base.sampler.sigma_min", "2 to 1 is no range"),
        ({"sources": {"base": {"sampler": {"method": "unpic"}}}}, "sources.base.sampler.method", "Did you mean 'unipc'?"),
        ({"segmenters": {"fpn": {"training": {"learning_rate": "1e-3"}}}}, "segmenters.fpn.training.learning_rate", "Write 1.0e-03."),
        ({"segmenters": {"fpn": {"training": {"learning_rate": "fast"}}}}, "segmenters.fpn.training.learning_rate", "not of type"),
        ({"sources": {"cascade": {"then": "satsynth"}}}, "sources.cascade.then", "is no upscaler"),
        ({"experiments": {"fidelity": {"alone": "unet"}}}, "experiments.fidelity.alone", "Add segmenters: {unet: {}}."),
        ({"measures": {"evaluator": "satsynth"}}, "measures.evaluator", "no segmenter of this config. Known here"),
        ({"sources": {"cascade": {"sampler": {"steps": 7}}}}, "figures.upscaling.low", "they differ in sampler"),
        ({"sources": {"base": {"sampler": {"sigma_min": 0}}}}, "sources.base.sampler.sigma_min", "0"),
        (
            {"generators": {"satsynth": {"prediction": "v", "previews": {"sampler": {"sigma_min": 0.002}}}}},
            "generators.satsynth.previews.sampler.sigma_min",
            "leaves the network's range",
        ),
        (
            {"generators": {"satsynth": {"schedule": {"steps": 10, "rescale": True}}}},
            "generators.satsynth.schedule",
            "would be 2",
        ),
        ({"sources": {"base": {"sampler": {"spacing": "uniform", "steps": 1001}}}}, "sources.base.sampler.steps", "a schedule of 1000"),
        (
            {"sources": {"cascade": {"then_sampler": {"condition_level": None}}}},
            "sources.cascade.then_sampler.condition_level",
            "such as 0.02",
        ),
        ({"segmenters": {"segdiff": {"sampler": {"steps": 200}}}}, "segmenters.segdiff.sampler.steps", "a schedule of 100"),
        ({"figures": {"upscaling": {"low": "cascade"}}}, "figures.upscaling.low", "are not what 'cascade' is made from"),
        (
            {"sources": {"other": {"extends": "base", "seed": 1}}, "figures": {"upscaling": {"low": "other"}}},
            "figures.upscaling.low",
            "are not what 'cascade' is made from",
        ),
        ({"datasets": {"demo": {"format": "tiling"}}}, "datasets.demo.format", "'tiling' is not known"),
        ({"datasets": {"demo": {"split": {"val": "/lists/val.txt"}}}}, "datasets.demo.split.val", "outside the root"),
        ({"figures": {"pairs": {"view": "upscaling", "low": None}}}, "figures.pairs.low", "not of type 'string'"),
        ({"figures": {"new": {"view": "pairs", "dataset": "demo"}}}, "figures.new.source", "missing"),
        ({"experiments": {"gain": {"view": "per_class"}}}, "figures.ratio_curve.experiment", "no table of view gain"),
        (
            {"experiments": {"gain": {"grid": [{"segmenters": ["fpn"], "sources": ["cascade"], "ratios": [1]}]}}},
            "experiments.gain.grid[0].ratios",
            "R = 0 is missing",
        ),
        (
            {"experiments": {"gain": {"grid": [{"segmenters": ["fpn"], "sources": [], "ratios": [0], "controls": ["fpn"]}]}}},
            "experiments.gain.grid[0].controls",
            "extends none",
        ),
        ({"figures": {"pairs": {"source": "nobody"}}}, "figures.pairs.source", "'nobody' is no source"),
        ({"figures": {"pairs": {"real": "no"}}}, "figures.pairs.real", "not of type 'boolean'"),
        ({"figures": {"upscaling": {"real": False}}}, "figures.upscaling.real", "view upscaling does not read this key"),
        ({"figures": {"pairs": {"window": 3}}}, "figures.pairs.window", "view pairs does not read this key"),
        ({"figures": {"confusion": {"ratio": 7}}}, "figures.confusion.ratio", "'7' is not in 'gain'. It has 1"),
        ({"figures": {"confusion": {"segmenter": "fpn_exposures"}}}, "figures.confusion.segmenter", "is not in 'gain'"),
        ({"figures": {"confusion": {"experiment": "data"}}}, "figures.confusion.experiment", "trains nothing"),
        ({"figures": {"class_forest": {"experiment": "gain"}}}, "figures.class_forest.experiment", "no table of view per_class"),
        ({"experiments": {"data": {"grid": [GRID]}}}, "experiments.data.grid", "view dataset does not read it"),
        ({"experiments": {"fidelity": {"grid": [GRID]}}}, "experiments.fidelity.grid", "view fidelity does not read it"),
        ({"experiments": {"gain": {"sources": ["cascade"]}}}, "experiments.gain.sources", "view gain does not read it"),
        ({"experiments": {"fidelity": {"sources": ["base"]}}}, "experiments.fidelity.sources", "makes pairs of 32 px"),
        ({"experiments": {"fidelity": {"sources": ["nobody"]}}}, "experiments.fidelity.sources", "'nobody' is no source"),
        ({"segmenters": {"semgan": {}}}, "segmenters.semgan.generator", "missing"),
        ({"segmenters": {"semgan": {"generator": "nobody"}}}, "segmenters.semgan.generator", "'nobody' is no generator"),
        ({"segmenters": {"semgan": {"generator": "satsynth"}}}, "segmenters.semgan.generator", "is of kind ddpm"),
        (
            {"generators": {"gan": {"kind": "semgan", "size": 8}}, "segmenters": {"semgan": {"generator": "gan"}}},
            "segmenters.semgan.generator",
            "too small",
        ),
        ({"segmenters": {"fpn": {"generator": "satsynth"}}}, "segmenters.fpn.generator", "network fpn does not read this key"),
        ({"segmenters": {"fpn": {"search": {"steps": 3}}}}, "segmenters.fpn.search", "network fpn does not read this key"),
        ({**SEARCHED, **GAN}, "experiments.searched.grid[0].segmenters", "makes pairs of 32 px; the experiment is at 64 px"),
        (
            {**SEARCHED, **GAN, "run": ["fidelity"], "experiments": {"fidelity": {"alone": "semgan"}}},
            "experiments.fidelity.alone",
            "makes pairs of 32 px",
        ),
        (
            merge(SEARCHED, {"experiments": {"searched": {"base": "fit"}}}),
            "experiments.searched.grid[0].segmenters",
            "trained on the whole of train",
        ),
        ({**SEARCHED, "measures": {"evaluator": "semgan"}}, "measures.evaluator", "of network semgan"),
        ({"segmenters": {"segdiff": {}}, "measures": {"evaluator": "segdiff"}}, "measures.evaluator", "of network segdiff"),
        ({"measures": {"evaluator": "unet"}}, "measures.evaluator", "no segmenter of this config"),
        ({"measures": {"evaluator": "fnp"}}, "measures.evaluator", "'fnp' is no segmenter of this config."),
        ({"experiments": {"fidelity": {"base": "fit"}}}, "experiments.fidelity.base", "train and val"),
        ({"experiments": {"fidelity": {"alone": "nobody"}}}, "experiments.fidelity.alone", "'nobody' is no segmenter"),
        ({"experiments": {"fidelity": {"baseline": "base"}}}, "experiments.fidelity.baseline", "none of the table's sources"),
        ({"experiments": {"fidelity": {"baseline": "cascade"}}}, "experiments.fidelity.baseline", "no other source"),
        (
            {"experiments": {"fidelity": {"sources": ["cutout", "cascade"], "baseline": "cutout"}}},
            "experiments.fidelity.baseline",
            "no other source",
        ),
        ({"experiments": {"gain": {"alone": "fpn"}}}, "experiments.gain.alone", "view gain does not read it"),
        ({"generators": {"satsynth": {"codes": "onehot"}}}, "sources.cascade.then", "reads bits"),
        (
            {
                "generators": {"bare": {"extends": "satsynth", "codes": "none"}},
                "sources": {"bare": {"generator": "bare"}},
                "figures": {"class_distribution": {"source": "bare"}},
            },
            "figures.class_distribution.source",
            "images without masks",
        ),
        ({"segmenters": {"fpn": {"training": {"ema": {"decay": 0.9}}}}}, "segmenters.fpn.training.ema", "does not read this key"),
        ({"segmenters": {"segdiff": {"sampler": {"truncation": 0.5}}}}, "segmenters.segdiff.sampler.truncation", "segdiff does not read"),
        ({"measures": {"null_quantile": 1}}, "measures.null_quantile", "1"),
        (
            {"run": ["contrast"], "figures": {"contrast": {"view": "contrast", "first": "base", "second": "cascade"}}},
            "figures.contrast.second",
            "different sizes",
        ),
        ({"figures": {"methods": {"source": "cutout"}}}, "figures.methods.source", "samples no diffusion model"),
        (
            {
                "generators": {"satsynth": {"codes": "none"}, "upscaler": {"codes": "none"}},
                "experiments": {"gain": {"grid": [GRID]}},
            },
            "experiments.gain.grid[0].sources",
            "images without masks",
        ),
        ({"experiments": {"gain": {"base": "fit", "grid": [GRID]}}}, "experiments.gain.grid[0].sources", "judged on"),
        ({"experiments": {"gain": {"grid": [GRID | {"sources": [["cascade", "cutout"]]}]}}}, "experiments.gain.grid", "no replicas"),
        (
            {
                "sources": {"other": {"extends": "cascade", "seed": 1}},
                "experiments": {"gain": {"grid": [GRID | {"sources": [["cascade", "other"], "cascade"]}]}},
            },
            "experiments.gain.grid",
            "one row",
        ),
        ({"segmenters": {"fpn_exposures": {"exposures": 0.9}}}, "experiments.gain.grid[0].controls", "half of the exposures"),
        ({"segmenters": {"fpn_exposures": {"precision": "float32"}}}, "experiments.gain.grid[0].controls", "the one difference"),
        ({"experiments": {"gain": {"grid": [GRID | {"segmenters": ["unet"]}]}}}, "experiments.gain.grid[0].segmenters", "is a network"),
        ({"sources": {"cutout": {"augment": "cutot"}}}, "sources.cutout.augment", "Did you mean 'cutout'"),
        ({"sources": {"cutout": {"sampler": {"steps": 3}}}}, "sources.cutout.sampler", "does not read"),
        ({"sources": {"cutout": {"options": {"alpha": 1.0}}}}, "sources.cutout.options.alpha", "augmentation cutout does not read"),
        ({"sources": {"base": {"options": {"alpha": 1.0}}}}, "sources.base.options", "samples a generator does not read"),
        ({"sources": {"new": {"augment": "cutmix"}}}, "sources.new.size", "missing"),
        ({"sources": {"cutout": {"size": 32}}}, "experiments.augmentations.grid[0].sources", "makes pairs of 32 px"),
        (
            {"datasets": {"town": {"root": "x", "images": "i", "labels": "m", "classes": ["a", "b"], "background": 2}}},
            "datasets.town.background",
            "no class id 2",
        ),
    ],
)  # fmt: skip
def test_a_bad_config_is_told_by_its_key(overlay, key, words):
    with pytest.raises(ConfigError) as found:
        load(overlay)
    assert found.value.subject == key and words in str(found.value)
    assert found.value.cause and found.value.remedy


@pytest.mark.parametrize(
    ("stanza", "key", "words"),
    [
        ({"labels": "town.gpkg"}, "label_field", "Name the attribute of the vector labels"),
        ({"label_field": "kind"}, "label_field", "only vector labels have attributes"),
        ({"labels": "town.json", "label_field": "kind"}, "label_field", "only vector labels have attributes"),
        ({"labels": "town.json", "label_layer": "roads"}, "label_layer", "only vector labels have attributes and layers"),
        ({"labels": "town.gpkg", "label_class": "c"}, "label_class", "'c' is no class"),
        ({"labels": "town.gpkg", "label_class": "b", "label_field": "kind"}, "label_field", "already says which class"),
        ({"labels": "town.gpkg", "label_class": "b", "label_map": {"x": "b"}}, "label_map", "already says which class"),
        ({"images": "*{id}.png", "labels": "*{id}.tif"}, "images", "nothing between them"),
        ({"split": {"by": "block"}}, "split.block", "Give the side of a block in pixels"),
        ({"split": {"block": 512}}, "split.block", "drawn only with by: block"),
        ({"split": {"val": "0.2"}}, "split.val", "Write 0.2 without quotes"),
        ({"split": {"by": "block", "block": 512, "val": "val.txt", "train": "train.txt"}}, "split.block", "drawn only with by: block"),
        ({"split": {"by": "block", "block": 16}}, "split.block", "hold no patch of 64 px"),
        ({"images": "**/i/*.png", "labels": "**/m/*.png"}, "images", "** is not known in patterns. Write a folder, which is read at any"),
        ({"images": "/data/x/i/rgb"}, "images", "/data/x/i/rgb is not relative to the root. Write images: i/rgb."),
        ({"root": "/data/x", "labels": "/data/x/{id}.png"}, "labels", "is not relative to the root. Write labels: {id}.png."),
        ({"images": "/data/y/i"}, "images", "/data/y/i lies outside the root. Nothing outside is read"),
        ({"images": "/data/x"}, "images", "/data/x lies outside the root."),
        ({"images": "/data/x/../i"}, "images", "/data/x/../i lies outside the root."),
        ({"split": {"val": "../val.txt"}}, "split.val", "let root be a folder that holds images, labels and lists."),
        ({"split": {"val": "/data/x/val.txt"}}, "split.val", "Write val: val.txt."),
        ({"label_map": {True: "a"}}, "label_map.True", "YAML reads this key as true, not as text. Put it in quotes"),
        ({"label_map": {1.5: "a"}}, "label_map.1.5", "YAML reads this key as 1.5, not as text."),
        ({"label_map": {None: "a"}}, "label_map.None", "YAML reads this key as null, not as text."),
        ({"label_map": {7: "a", "07": "b"}}, "label_map.07", "it is 7 written otherwise, which is 'a' already. Keep one of the two."),
        ({"label_map": {"#ab12cd": "a", "#AB12CD": "b"}}, "label_map.#AB12CD", "it is '#ab12cd' written otherwise, which is 'a' already."),
        ({"labels": "l.json", "label_map": {"\u00e9": "a", "e\u0301": "b"}}, "label_map.e\u0301", "it is '\u00e9' written otherwise"),
        ({"classes": ["a", "\u00e9", "e\u0301"]}, "classes", "the class 'e\u0301' stands twice."),
        ({"label_map": {"a": 0}}, "label_map.a", "0 is not of type 'string'. Name of a class, or ignore: the raw value comes first"),
        ({"classes": {0: "a", 1: "b"}}, "classes", "it is a map (key: value), and a list is needed ([a, b]). List of class names"),
        ({"classes": ["a", False]}, "classes[1]", "YAML reads it as False, not as text. Put it in quotes."),
        ({"classes": ["a", {"name": "b", "colour": "#2c7fb8"}]}, "classes[1].colour", "this key is not known. Did you mean 'color'?"),
        ({"format": "loveda", "labels": "town.gpkg", "label_class": "b"}, "label_class", "only vector labels have attributes"),
        ({"split": {"val": {"tile": "a"}}}, "split.val.tile", "'a' is not of type 'array'. List of the values of the wildcard"),
        ({"split": {"val": {"tile": [1.5]}}}, "split.val.tile[0]", "YAML reads it as 1.5, not as text. Put it in quotes. Value of the"),
        ({"split": {"train": {"day": [date(2020, 5, 1)]}}}, "split.train.day[0]", "YAML reads it as 2020-05-01, not as text."),
    ],
)
def test_what_a_stanza_needs_is_told_by_its_key(stanza, key, words):
    with pytest.raises(ConfigError) as found:
        load({"datasets": {"town": {"root": "x", "images": "i", "labels": "m", "classes": ["a", "b"], **stanza}}})
    assert found.value.subject == f"datasets.town.{key}" and words in str(found.value)


@pytest.mark.parametrize(
    ("patches", "words"),
    [
        ({"size": 128}, "no patches of 64 px. It has [128, 32]. Write datasets.town.patches: {size: 128, reduced: [64, 32]}."),
        ({"size": 96}, "no patches of 64 px. It has [96, 32] (datasets.town.patches); divisors of its size may stand under reduced."),
        ({"size": 32, "reduced": []}, "no patches of 64 px. It has [32] (datasets.town.patches)"),
    ],
)
def test_patches_that_a_table_lacks_are_told_with_those_that_it_needs(patches, words):
    stanza = {"root": "x", "images": "i", "labels": "m", "classes": ["a", "b"], "patches": patches}
    with pytest.raises(ConfigError) as found:
        load({"dataset": "town", "datasets": {"town": stanza}})
    assert words in str(found.value)
    if "Write" in words:
        stanza["patches"] = yaml.safe_load(found.value.remedy.partition("patches: ")[2].rstrip("."))
        assert load({"dataset": "town", "datasets": {"town": stanza}})["datasets"]["town"]["patches"]["reduced"] == [64, 32]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("real+nobody-r1", "no source"),
        ("real+cascade", "neither real nor fit"),
        ("real+cascade-r0", "R is 0"),
        ("", "neither"),
        ("fit+real", "neither"),
    ],
)
def test_a_bad_training_set_is_told(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_training_set(text, {"cascade": {}})


def test_all_faults_of_a_config_are_told_at_once_the_outermost_first():
    faults = {"datasets": {"town": {"patchs": {}, "sice": 3}}, "sources": {"cascade": {"shards": "4"}}, "repport": {}}
    with pytest.raises(ConfigError) as found:
        load(faults)
    assert found.value.subject == "repport" and "Did you mean 'report'?" in found.value.remedy
    told = ("datasets.town.patchs (this key is not known)", "datasets.town.sice (", "sources.cascade.shards ('4' is not of type")
    assert all(words in found.value.remedy for words in told)


def test_of_very_many_faults_some_are_counted():
    with pytest.raises(ConfigError, match="and 3 more"):
        load({"report": {f"key{number}": 0 for number in range(9)}})

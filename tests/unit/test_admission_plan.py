"""The plan of what is chosen on held-out pairs: generators of fit, what is a leak, and the jobs of an admission."""

import pytest
from presets import planned, preset

from satsynth.plan import admission, measures, slices
from satsynth.plan.runs import method_of
from satsynth.runtime.errors import ConfigError

FIT = {
    "generators": {"satsynth_fit": {"extends": "satsynth", "split": "fit"}, "upscaler_fit": {"extends": "upscaler", "split": "fit"}},
    "sources": {
        "cascade_fit": {"extends": "cascade", "generator": "satsynth_fit", "then": "upscaler_fit"},
        "admitted": {"admit": "cascade"},
        "admitted_fit": {"admit": "cascade_fit", "thresholds": {"max_masked": 0.3}},
    },
    "run": ["gain"],
}


def grid(base, *sources, **other):
    entry = {"segmenters": ["fpn"], "sources": list(sources), "ratios": [0, 1], **other}
    return {"experiments": {"gain": {"base": base, "grid": [entry]}}}


def plan(*overlays):
    return planned(FIT, *overlays)[1]


def test_a_generator_of_train_is_what_it_was_and_one_of_fit_learns_fit():
    layout = plan()
    own, fit = (layout.resolved["generators"][name] for name in ("satsynth", "satsynth_fit"))
    assert own["split"] == "train" and "split" not in slices.generator(own)
    assert slices.generator(fit) == {**slices.generator(own), "split": "fit"}
    assert layout.generator_stores("demo", "upscaler") == ["results/demo/32px/real/train", "results/demo/64px/real/train"]
    assert layout.generator_stores("demo", "upscaler_fit") == ["results/demo/32px/real/fit", "results/demo/64px/real/fit"]


def test_a_unit_of_a_source_has_as_many_pairs_as_its_generators_learned():
    layout = plan({"sources": {"cutout_fit": {"extends": "cutout", "split": "fit"}}})
    for source, split in (
        ("cascade", "train"),
        ("admitted", "train"),
        ("cascade_fit", "fit"),
        ("admitted_fit", "fit"),
        ("cutout_fit", "fit"),
    ):
        assert layout.origin("demo", 64, source) == f"results/demo/64px/real/{split}"
    assert slices.augmentation(layout.resolved, "demo", "cutout_fit") == slices.augmentation(layout.resolved, "demo", "cutout")


def test_every_segmenter_depends_on_what_it_depended_on():
    resolved = plan({"segmenters": {"mostly_real": {"extends": "fpn", "real_share": 0.75}}}).resolved
    assert resolved["segmenters"]["fpn"]["real_share"] == 0.5 and "real_share" not in slices.segmenter(resolved["segmenters"]["fpn"])
    expected = {**slices.segmenter(resolved["segmenters"]["fpn"]), "real_share": 0.75}
    assert slices.segmenter(resolved["segmenters"]["mostly_real"]) == expected


@pytest.mark.parametrize("source", ["cascade", "admitted", "cutout"])
def test_what_was_made_from_train_is_a_leak_beside_fit(source):
    with pytest.raises(ConfigError) as found:
        plan(grid("fit", source))
    assert found.value.subject == "experiments.gain.grid[0].sources"
    assert "holds the pairs that `fit` is judged on" in found.value.cause and "split: fit" in found.value.remedy
    with pytest.raises(ConfigError, match="judged on"):
        plan().training_stores("demo", 64, f"fit+{source}-r1")


def test_what_was_made_from_fit_is_no_unit_of_train():
    with pytest.raises(ConfigError, match="R would count the pairs of fit"):
        plan(grid("real", "cascade_fit"))
    with pytest.raises(ConfigError, match="R would count the pairs of fit"):
        plan().training_stores("demo", 64, "real+admitted_fit-r1")


def test_fit_with_sources_of_fit_is_planned():
    layout = plan(grid("fit", "cascade_fit", "admitted_fit"))
    assert {run.training_set for run in layout.runs("gain")} == {"fit", "fit+cascade_fit-r1", "fit+admitted_fit-r1"}
    real, made = layout.training_stores("demo", 64, "fit+admitted_fit-r1")
    assert real == ["results/demo/64px/real/fit"] and made[0] == "results/demo/64px/admitted_fit/shard-0000" and len(made) == 4
    assert layout.admissions("gain") == [f"{folder}/card.json" for folder in made]


def test_an_admission_has_its_parents_stanza_and_a_method_of_its_own():
    layout = plan()
    parent, own = (layout.resolved["sources"][name] for name in ("cascade_fit", "admitted_fit"))
    assert own == {**parent, "admit": "cascade_fit", "thresholds": own["thresholds"]}
    assert own["thresholds"] == {**preset("demo")["sources"]["admission"]["thresholds"], "max_masked": 0.3}
    assert (method_of(layout.resolved, "cascade"), method_of(layout.resolved, "admitted")) == ("satsynth", "satsynth_admitted")
    assert admission.decisions(layout.resolved, "admitted_fit") == {"thresholds": own["thresholds"]}
    assert not measures.same_noise(layout.resolved, "cascade", "admitted")


def test_pairs_are_compared_with_what_their_generators_learned():
    resolved = plan().resolved
    assert admission.bank_of(resolved, "real-held") == admission.bank_of(resolved, "cascade_fit-shard-0003") == "fit"
    assert admission.bank_of(resolved, "cascade-shard-0003") == "train"
    assert admission.judge(resolved) == ("fpn", 0)
    assert admission.judge(plan({"admission": {"judge": "pspnet", "seed": 3}}).resolved) == ("pspnet", 3)


@pytest.mark.parametrize(
    ("overlay", "key", "words"),
    [
        ({"sources": {"new": {"admit": "cascad"}}}, "sources.new.admit", "Did you mean 'cascade'?"),
        ({"sources": {"new": {"admit": "new"}}}, "sources.new.admit", "itself an admission"),
        ({"sources": {"new": {"admit": "admitted"}}}, "sources.new.admit", "Write admit: cascade, with all thresholds."),
        ({"sources": {"new": {"admit": "cutout"}}}, "sources.new.admit", "is an augmentation"),
        ({"sources": {"new": {"admit": "cascade", "seed": 1}}}, "sources.new.seed", "an admission does not read this key"),
        ({"sources": {"new": {"extends": "cascade", "admit": "cascade"}}}, "sources.new.generator", "does not read this key"),
        ({"sources": {"new": {"admit": "cascade", "thresholds": {"max_maskd": 1}}}}, "sources.new.thresholds.max_maskd", "max_masked"),
        ({"sources": {"cascade": {"thresholds": {}}}}, "sources.cascade.thresholds", "does not read this key"),
        ({"sources": {"cascade": {"split": "fit"}}}, "sources.cascade.split", "does not read this key"),
        ({"sources": {"new": {"extends": "cascade", "then": "upscaler_fit"}}}, "sources.new.then", "with split: train"),
        (grid("real", "admitted") | {"admission": {"judge": "nobody"}}, "admission.judge", "no segmenter of this config"),
        (
            grid("real", "admitted") | {"segmenters": {"segdiff": {}}, "admission": {"judge": "segdiff"}},
            "admission.judge",
            "gives no features",
        ),
        (
            {
                "run": ["images"],
                "generators": {"bare": {"extends": "satsynth", "size": 64, "codes": "none"}},
                "sources": {"bare": {"generator": "bare"}, "bare_admitted": {"admit": "bare"}},
                "experiments": {"images": {"view": "fidelity", "size": 64, "sources": ["bare_admitted"]}},
            },
            "sources.bare_admitted.admit",
            "images without masks",
        ),
        (
            {"run": ["upscaling"], "figures": {"upscaling": {"source": "admitted"}}},
            "figures.upscaling.low",
            "they differ in admit",
        ),
        (
            {
                "run": ["gain"],
                "generators": {"gan": {"kind": "semgan", "size": 64, "split": "fit"}},
                "segmenters": {"semgan": {"generator": "gan"}},
                "experiments": {"gain": {"grid": [{"segmenters": ["semgan"], "sources": [], "ratios": [0]}]}},
            },
            "experiments.gain.grid[0].segmenters",
            "trained on fit",
        ),
        ({"generators": {"satsynth": {"split": "val"}}}, "generators.satsynth.split", "not known"),
        ({"segmenters": {"fpn": {"real_share": 1.0}}}, "segmenters.fpn.real_share", "1.0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_by_its_key(overlay, key, words):
    with pytest.raises(ConfigError) as found:
        plan(overlay)
    assert found.value.subject == key and words in str(found.value)
    assert found.value.cause and found.value.remedy


def test_a_fidelity_table_measures_admitted_pairs():
    layout = plan({"run": ["fidelity"], "experiments": {"fidelity": {"sources": ["cascade", "admitted"]}}})
    rows = measures.table(layout, "fidelity")["rows"]
    assert [row["method"] for row in rows] == [None, "satsynth", "satsynth_admitted"] and rows[2]["sets"] == 4

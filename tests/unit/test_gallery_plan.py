"""What the gallery shows: what is measured anyway, or what it is asked for; and what each place is made of."""

import pytest
from presets import planned

from satsynth.plan import gallery
from satsynth.plan.exports import inputs
from satsynth.runtime.errors import ConfigError

ADMITTED = {"sources": {"good": {"admit": "cascade"}}}


def plan(*overlays):
    return planned(*overlays)[1]


def places(*overlays):
    return [(place.dataset, place.size, place.source, place.searched, place.admission) for place in gallery.places(plan(*overlays))]


def test_the_demo_shows_what_its_figures_search_anyway():
    layout = plan()
    (place,) = gallery.places(layout)
    assert (place.name, place.searched) == ("demo-64px-cascade", True)
    found = gallery.inputs(layout, place)
    searched = layout.figure_inputs("memorisation")[0]
    assert found["neighbours"] == searched["neighbours"] and found["null"] == searched["null"] and len(found["pairs"]) == 4


def test_pairs_that_nobody_searches_are_shown_without_distances():
    run = ["pairs"]
    assert places({"run": run}) == [("demo", 64, "cascade", False, None)]
    layout = plan({"run": run})
    assert gallery.inputs(layout, gallery.places(layout)[0]).keys() == {"pairs", "classes"}
    assert places({"run": ["gain"]}) == [] and places({"run": run, "report": {"gallery": {"sources": []}}}) == []


def test_pairs_that_are_exported_are_shown_and_searched_where_the_export_is_measured():
    exports = {"measured": {"source": "base"}, "plain": {"source": "cascade", "measures": False}}
    assert places({"run": ["measured"], "exports": exports}) == [("demo", 32, "base", True, None)]
    assert places({"run": ["plain"], "exports": exports}) == [("demo", 64, "cascade", False, None)]
    layout = plan({"run": ["measured"], "exports": exports})
    found = gallery.inputs(layout, gallery.places(layout)[0])
    assert found["neighbours"] == inputs(layout, "measured")[1]["neighbours"]


def test_sources_that_are_named_are_searched_on_every_dataset_that_has_their_sizes():
    own = {"report": {"gallery": {"sources": ["base", "cutout"]}}}
    assert places(own) == [("demo", 32, "base", True, None), ("demo", 64, "cutout", True, None)]
    small = {
        "datasets": {"small": {"format": "demo", "patches": {"size": 32, "reduced": []}}},
        "experiments": {"data": {"datasets": ["demo", "small"]}},
    }
    small["experiments"]["data"]["size"] = 32
    assert places(own, small) == [("demo", 32, "base", True, None), ("demo", 64, "cutout", True, None), ("small", 32, "base", True, None)]


def test_an_unknown_source_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cascade'"):
        plan({"report": {"gallery": {"sources": ["cascad"]}}})


def test_decisions_of_an_admission_that_the_run_makes_stand_beside_the_pairs_that_it_admits_from():
    assert places(ADMITTED) == [("demo", 64, "cascade", True, None)]  # nothing of the run uses it
    grid = [{"segmenters": ["fpn"], "sources": ["cascade", "good"], "ratios": [0, 1]}]
    trained = {"experiments": {"gain": {"grid": grid}}, "run": ["gain", "memorisation"]}
    assert places(ADMITTED, trained) == [("demo", 64, "cascade", True, "good")]
    layout = plan(ADMITTED, trained)
    found = gallery.inputs(layout, gallery.places(layout)[0])
    assert found["decisions"] == [f"results/demo/64px/good/shard-{number:04d}/decisions.csv" for number in range(4)]
    assert found["pairs"] == [f"results/demo/64px/cascade/shard-{number:04d}" for number in range(4)]
    assert places(ADMITTED, {"report": {"gallery": {"sources": ["good"]}}}) == [("demo", 64, "cascade", True, "good")]
    shown = {"run": ["pairs"], "figures": {"pairs": {"source": "good"}}}
    assert places(ADMITTED, shown) == [("demo", 64, "cascade", False, "good")]


@pytest.mark.parametrize(("pairs", "parts"), [(1, 1), (200, 1), (201, 2), (5000, 25)])
def test_a_file_of_pictures_holds_two_hundred_pairs_at_most(pairs, parts):
    resolved = plan({"report": {"gallery": {"pairs": pairs}}}).resolved
    assert {len(files) for role, files in gallery.outputs(resolved, "p").items() if isinstance(files, list)} == {parts}
    assert gallery.outputs(resolved, "p")["tiles"][-1] == f"p/{gallery.last_part(resolved)}"
    assert gallery.slice_of(resolved) == {"pairs": pairs, "quality": 75, "quantile": 0.01, "tile": 96}

"""The dataset card: what readers parse, what people read, and what hostile names cannot do to either."""

import pytest
import yaml
from export_fixtures import SPACE, World

from satsynth.export.card import plain
from satsynth.pairs import LabelSpace
from satsynth.runtime import files


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def read(place):
    _, head, body = (place / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), body


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        (None, {"license": "unknown"}),
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("ours: ask --- first", {"license": "other", "license_name": "ours-ask-first"}),
        ("CC0 (masks; see NOTICE.txt für images)", {"license": "other", "license_name": "cc0-masks-see-notice.txt-fur-images"}),
        ("許可", {"license": "other", "license_name": "see-below"}),
        ("CC-BY-4.0 " + "and more " * 20, {"license": "other", "license_name": ("cc-by-4.0" + "-and-more" * 20)[:64].strip("-")}),
    ],
)
def test_the_head_names_the_licence_of_the_source_data(world, licence, said):
    head = yaml.safe_load((world.export(licence=licence) / "README.md").read_text().split("\n---\n")[0].removeprefix("---\n"))
    assert {name: value for name, value in head.items() if name.startswith("license")} == said
    assert head["task_categories"] == ["image-segmentation"] and head["size_categories"] == ["n<1K"]


def test_the_words_of_a_licence_stand_in_the_body_whole(world):
    _, body = read(world.export(licence="CC0 for masks; see NOTICE.txt für images, 許可"))
    assert "The source data bear the licence: CC0 for masks; see NOTICE.txt für images, 許可." in body


def test_counts_classes_and_networks_stand_in_the_body(world):
    _, body = read(world.export(real=True))
    assert "| train | 9 | 4 real, 5 unfiltered |" in body and "| val | 3 | 3 real |" in body
    mask_pixels = sum((mask == 7).sum() for _, mask in world.pairs("val").values()) / (3 * 256)
    assert "| 7 | class 7 | #07F807 |" in body and f"{100 * mask_pixels:.2f} %" in body
    assert "| g (ddpm, 16 px, codes bits) | 10 steps, 40 images seen | ddim 5 | 5 | `" + "a" * 64 in body
    assert "make regenerate EXPORT=results/exports/set INDEX=17" in body and "Nothing was measured" in body


def test_measures_are_told_with_their_numbers_of_pairs(world):
    _, body = read(world.export(measures=True, null_quantile=0.01, evaluator="fpn"))
    assert "| synthetic | 5 | 4 training patches | 1.50 | 2.50 | 1.25 | 0.50 | 0.25 | 0.75 | 1.00 | 0.125 | – | 2.00 |" in body
    assert "| real validation patches | 5 | 4 training patches | 0.50 |" in body
    # All five pairs lie at 0.5, the three validation patches at 0.75; in pixels all at 2, and a tie is no copy.
    assert "In features, 100.00 % of 5 pairs lie nearer" in body and "of 3 real validation patches (25.00 %" in body
    assert "In pixels, 0.00 % of 5 pairs" in body


def test_names_are_text_and_nothing_else(world):
    hostile = ("<script>x</script>", "a | b", "![x](http://x)", "`c`\n# d", "{{ fileDirname }}'\"")
    space = LabelSpace((*hostile, *SPACE.names[5:]), SPACE.colours)
    files.write_json(world.folder / "classes.json", space.to_json())
    place = world.export(dataset="<b>", licence="---\nlicense: mit <i>", webdataset=True)
    text = (place / "README.md").read_text()
    assert "<script>" not in text and "<b>" not in text.split("\n---\n", 1)[1] and "![x]" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.split(" | ")[0][2:].isdigit()]
    assert len(rows) == 201  # every class on a line of its own
    assert yaml.safe_load((place / "data.yaml").read_text())["names"] == dict(enumerate(space.names))
    config = {}
    exec((place / "mmsegmentation.py").read_text(), config)
    assert config["metainfo"]["classes"] == space.names


def test_plain_text_stays_what_it_says():
    assert plain("fpn") == "fpn" and plain("a_b") == r"a\_b" and plain("x\ny") == "x y" and plain("a & <b>") == "a &amp; &lt;b&gt;"

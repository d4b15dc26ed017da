"""What `check_data` says: each kind of thing once, in the words of the set, and no advice that cannot help."""

import shutil

import numpy as np
from broken_sets import COLOURS, NAMES, PALETTE, STANZA, coco, coloured, dead_link, lossy_masks, sound, vectors
from dataset_fixtures import ids, picture, save
from PIL import Image
from test_check_data import report

from satsynth.datasets.folder import label_space
from satsynth.datasets.judging import REMEDY_NOWHERE
from satsynth.datasets.wording import some
from satsynth.reporting.data_summary import kinds, problems, problems_by_kind, summary


def test_errors_of_one_kind_are_told_once(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for name in NAMES[1:]:
        save(root / "masks" / f"{name}.png", ids(3, 64, 60 + ord(name) % 4))
    (root / "images/a.png").write_text("<html>404 Not Found</html>")
    found = report(tmp_path, {})
    said = " ".join(summary("town", found, "page.html").split())
    assert said.count("ERROR: ") == 2 and "6 errors of 2 kinds to mend before training" in said
    assert said.count("Give both the same size.") == 1 and said.count("images/a.png: the file cannot be opened as an image") == 1
    first, *others = [error["subject"] for error in found["errors"] if "the image is 64 x 64" in error["cause"]]
    assert f"{first}: the image is 64 x 64 pixels" in said
    assert f"And 4 more of this kind: {', '.join(others)}." in said
    page = (tmp_path / "out/index.html").read_text()
    assert page.count('<span class="remedy">Give both the same size.') == 1 and "<summary>4 more of this kind</summary>" in page
    assert all(subject in page for subject in others)


def test_kinds_differ_by_words_not_by_names_and_numbers():
    def error(subject, cause):
        return {"subject": subject, "cause": cause, "remedy": "Mend it."}

    causes = [
        "annotation 7 on 'a b.png' cannot be drawn",
        "annotation 12 on 'c.png' cannot be drawn",
        "it is cut (row 7)",
        "it is cut",
    ]
    found = kinds({"errors": [error("labels.json", cause) for cause in causes] + [error("x.tif", "it is cut (row 9)")]})
    assert [[one["cause"] for one in kind] for kind in found] == [causes[:2], [causes[2], "it is cut (row 9)"], causes[3:]]
    assert problems_by_kind({"errors": found[0]}) == [f"labels.json: {causes[0]} Mend it. And 1 more of this kind."]


def test_the_last_line_counts_warnings(tmp_path):
    root = tmp_path / "town"
    sound(root)
    found = report(tmp_path, {"patches": {"size": 32, "reduced": [16], "stride": 16}})
    assert "town: no error; 1 warning above. Page: page.html" in summary("town", found, "page.html")
    assert "No error; 1 warning below." in (tmp_path / "out/index.html").read_text()


def test_255_that_may_be_a_class_is_told_with_the_names_of_the_set(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for number, name in enumerate(NAMES):
        mask = ids(3, 64, 64, seed=number)
        save(root / "masks" / f"{name}.png", np.where(mask == 2, np.uint8(255), mask))
    found = report(tmp_path, {})
    (text,) = found["warnings"]
    number = found["splits"]["train"]["ignored"]
    assert f"no pixel of house, which cannot be learned. {number} pixels are unlabelled, as 255 is" in text and not found["errors"]
    assert "if 255 is house, give label_map: {0: field, 1: road, 255: house}." in text
    mended = report(tmp_path, {"label_map": {0: "field", 1: "road", 255: "house"}})
    assert not mended["errors"] and not mended["warnings"]
    # A class that val shows has a value of its own.
    val = found["splits"]["val"]["names"][0]
    mask = np.asarray(Image.open(root / "masks" / f"{val}.png")).copy()
    mask[:3] = 2
    save(root / "masks" / f"{val}.png", mask)
    (text,) = report(tmp_path, {})["warnings"]
    assert "no pixel of house, which cannot be learned. If it is rare" in text
    # Who says what 255 is, or has no such value, is not told.
    for stanza in ({"label_map": {0: "field", 1: "road", 2: "house", 255: "ignore"}}, {"unknown": "ignore", "ignore": None}):
        texts = [text for text in report(tmp_path, stanza)["warnings"] if "cannot be learned" in text]
        assert len(texts) == 1 and "label_map" not in texts[0]


def test_what_alpha_hides_is_not_taken_for_255(tmp_path):
    root = tmp_path / "town"
    sound(root)
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:16] = 0
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.png", np.dstack([picture(64, 64, number), alpha]))
        save(root / "masks" / f"{name}.png", ids(2, 64, 64, seed=number))
    (text,) = report(tmp_path, {})["warnings"]
    assert text == f"split.train: no pixel of house, which cannot be learned. {REMEDY_NOWHERE}"
    for number, name in enumerate(NAMES):
        mask = ids(2, 64, 64, seed=number)
        mask[14:20] = 255
        save(root / "masks" / f"{name}.png", mask)
    (text,) = report(tmp_path, {})["warnings"]
    assert f"{4 * 4 * 64} pixels are unlabelled, as 255 is" in text  # those that alpha does not hide


def test_no_label_map_is_advised_where_it_cannot_help(tmp_path):
    root = tmp_path / "town"
    sound(root)
    coloured(root)
    names = ["field", "road", "house", "water"]
    by_colour = report(tmp_path, {"classes": names, "label_map": {**COLOURS, "#0A0B0C": "water"}})
    assert by_colour["warnings"] == [f"split.train: no pixel of water, which cannot be learned. {REMEDY_NOWHERE}"]
    drawn = report(tmp_path, {"classes": names, "background": 0, **coco(root)})
    assert drawn["warnings"][0] == by_colour["warnings"][0] and not drawn["errors"], problems(drawn)
    assert not any("label_map" in text for text in drawn["warnings"])


def test_masks_saved_as_jpeg_are_to_be_saved_as_png_not_ignored(tmp_path):
    """A mask of large areas keeps nearly its few colours; a photograph, or a mask that looks like one, has no colour for most of it."""
    sound(tmp_path / "town")
    stanza = lossy_masks(tmp_path / "town")
    (noisy,) = report(tmp_path, stanza)["errors"]
    for number, name in enumerate(NAMES):
        areas = np.roll(PALETTE[ids(3, 2, 2, seed=number)].repeat(32, 0).repeat(32, 1), (5, 11), (0, 1))
        Image.fromarray(areas).save(tmp_path / "town/masks" / f"{name}.jpg", quality=60)
    found = report(tmp_path, stanza)
    (error,) = found["errors"]
    assert len(found["unknown"]) == 200  # as many as are listed
    assert error["remedy"].startswith("JPEG changes colours: save masks as PNG") and "ignore" not in error["remedy"]
    assert "swapped?" in noisy["remedy"] and "swapped?" not in error["remedy"]


def test_unknown_categories_are_drawn_in_colours_of_their_own(tmp_path):
    root = tmp_path / "town"
    sound(root)
    found = report(tmp_path, coco(root, categories=("field", "path", "house")))
    (entry,) = found["unknown"]
    pixels = np.asarray(Image.open(tmp_path / "out/p.png").convert("RGB"))
    assert entry["value"] == "path" and np.count_nonzero((pixels == tuple(bytes.fromhex(entry["colour"][1:]))).all(2)) > 10_000
    space = label_space({"classes": STANZA["classes"], "label_map": None})
    assert tuple(bytes.fromhex(entry["colour"][1:])) not in space.colours
    assert f"background:{entry['colour']}" in (tmp_path / "out/index.html").read_text()


def test_an_empty_category_has_a_name_and_a_remedy(tmp_path):
    root = tmp_path / "town"
    sound(root)
    stanza = coco(root, categories=("field", "", "house"))
    found = report(tmp_path, stanza)
    assert "unknown values: (empty): 2 in 2 files" in summary("town", found, "page.html")
    (text,) = problems(found)
    assert "no class has: (empty) (2); known" in text and '"": ignore in label_map maps the empty one' in text
    assert not report(tmp_path, {**stanza, "label_map": {"field": "field", "r": "road", "house": "house", "": "ignore"}})["errors"]


def test_many_label_files_are_one_line(tmp_path):
    root = tmp_path / "town"
    sound(root)
    vectors(root)
    for name in NAMES:
        shutil.copy(root / "town.gpkg", root / f"{name}.gpkg")
    found = report(tmp_path, {"images": "images/{n}.tif", "labels": "{n}.gpkg", "label_field": "kind", "background": 0})
    assert f"  annotations: 6 files, such as {root / 'a.gpkg'}\n" in summary("town", found, "page.html")


def test_a_dead_link_is_told_once(tmp_path, monkeypatch):
    root = tmp_path / "town"
    sound(root)
    dead_link(root)
    path = root / "images/f.png"
    trouble = ["datasets.town.root", f"{str(path)!r} is a link to a file that is not there.", "Fetch the file."]
    assert [error["subject"] for error in report(tmp_path, {}, trouble=trouble)["errors"]] == [str(path)]
    monkeypatch.chdir(tmp_path)
    trouble[1] = "'town/images/f.png' is a link to a file that is not there."  # as it is where the root is relative
    assert [error["subject"] for error in report(tmp_path, {}, trouble=trouble)["errors"]] == [str(path)]
    other = ["datasets.town.root", f"{str(root / 'notes.txt')!r} is a link to a file that is not there.", "Fetch the file."]
    assert [error["subject"] for error in report(tmp_path, {}, trouble=other)["errors"]] == ["datasets.town.root", str(path)]


def test_names_are_shortened_only_where_that_saves_some():
    assert some(["a", "b", "c"], 2) == "a, b, c" and some(["a", "b", "c", "d"], 2) == "a, b and 2 more" and some([], 2) == ""


def test_an_empty_split_has_no_loose_ends(tmp_path):
    root = tmp_path / "town"
    sound(root)
    found = report(tmp_path, {"images": "images/{n}.png", "labels": "masks/{n}.png", "split": {"val": {"n": ["z"]}}})
    assert "\n  val: 0 scenes\n" in summary("town", found, "page.html")


def test_most_pixels_without_data_are_told_with_their_cause(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for number, name in enumerate(NAMES):
        alpha = np.full((64, 64), 255, np.uint8)
        alpha[:40] = 0
        save(root / "images" / f"{name}.png", np.dstack([picture(64, 64, number), alpha]))
    texts = report(tmp_path, {})["warnings"]
    assert len(texts) == 2 and all("62.5 % of all pixels are unlabelled. The images say of most that they" in text for text in texts)
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.png", picture(64, 64, number))
        mask = ids(3, 64, 64, seed=number)
        mask[:40] = 255
        save(root / "masks" / f"{name}.png", mask)
    assert [text.partition(": ")[2] for text in report(tmp_path, {})["warnings"]] == ["62.5 % of all pixels are unlabelled."] * 2

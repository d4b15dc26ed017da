import ast
import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from gallery_fixtures import MADE, neighbours, write_gallery
from PIL import Image
from reporting_fixtures import SPACE

from satsynth.metrics.memorisation import calibrated
from satsynth.pairs import LabelSpace
from satsynth.plan.closure import _reads_static, _static, digests
from satsynth.reporting.gallery import document, pictures
from satsynth.runtime.errors import DataError, StoreError


def handed(path):
    """What a file of the gallery hands to the page: place, kind, number and value."""
    text = path.read_bytes().decode("ascii")
    assert text.startswith("satsynth(") and text.endswith(")\n")
    return json.loads(f"[{text[9:-2]}]")


def decoded(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("gallery"), count=61, decided=True)


def test_numbers_are_those_of_the_stores(gallery):
    place, kind, number, told = handed(gallery.out["numbers"])
    assert (place, kind, number) == ("demo-32px-cascade", "numbers", 0)
    index = pd.concat([store.index for store in gallery.view.stores], ignore_index=True)
    for name in ("index", "seed", "margin", "invalid"):
        assert told["columns"][name] == index[name].tolist()
    assert told["columns"]["index"] == list(range(61)) and told["columns"]["row"] == [*range(30), *range(31)]
    pixels = np.array(told["columns"]["pixels"])
    cards = [store.card for store in gallery.view.stores]
    assert pixels[:, :3].sum(0).tolist() == np.sum([card["class_pixels"] for card in cards], 0).tolist()
    assert pixels[:, 3].sum() == sum(card["ignore_pixels"] for card in cards) > 0 and set(pixels.sum(1)) == {32 * 32}
    assert [shard["path"] for shard in told["shards"]] == [f"results/demo/32px/cascade/shard-{number:04d}" for number in (0, 1)]
    assert told["made"] == MADE and [shard["start"] for shard in told["shards"]] == [0, 30]


def test_distances_thresholds_and_nearest_patches_are_those_that_were_found(gallery):
    told = handed(gallery.out["numbers"])[3]
    found = pd.concat([pd.read_csv(path) for path in gallery.neighbours], ignore_index=True)
    null = pd.read_csv(gallery.page.parents[2] / "null.csv")
    for name, kind in (("distance", "feature"), ("pixelDistance", "pixel")):
        assert told["columns"][name] == found[f"{kind}_distance"].tolist()
        limit = calibrated(found[f"{kind}_distance"], null[f"{kind}_distance"], 0.01)
        assert told["thresholds"][kind] == limit.threshold
    rows = [told["real"][place]["row"] for place in told["columns"]["nearest"]]
    assert rows == found["feature_row"].tolist() and told["columns"]["turn"] == found["feature_turn"].tolist()
    assert gallery.card["copies"]["feature"]["share"] == (found["feature_distance"] < told["thresholds"]["feature"]).mean()
    assert told["real"][0].keys() == {"row", "scene", "top", "left"}


def test_every_picture_is_its_pair_and_stands_where_the_page_looks_for_it(tmp_path):
    gallery = write_gallery(tmp_path, count=450, size=32, quality=95)
    told = handed(gallery.out["numbers"])[3]
    assert told["starts"] == [0, 150, 300, 450] and len(gallery.out["pairs"]) == 3
    for row in (0, 149, 150, 449):
        number = row // 150
        images, masks = gallery.view.pair(row)
        for role in ("pairs", "tiles"):  # a tile of 32 px is not reduced
            value = handed(gallery.out[role][number])[3]
            assert len(value["images"]) == 150
            assert np.abs(np.asarray(decoded(value["images"][row % 150])).astype(int) - images).mean() < 12
            colours = np.asarray(decoded(value["masks"][row % 150]).convert("RGBA"))
            assert ((colours[..., 3] == 0) == (masks == 255)).all()
            assert (colours[..., :3] == SPACE.paint(masks))[masks != 255].all()
    real, starts = [handed(path)[3] for path in gallery.out["real"]], told["realStarts"]
    flat = [text for part in real for text in part["masks"]]
    assert len(flat) == len(told["real"]) == starts[-1] and [len(part["masks"]) for part in real] == np.diff(starts).tolist()
    for place in (0, len(flat) - 1):
        _, mask = gallery.train.pair(told["real"][place]["row"])
        assert (np.asarray(decoded(flat[place]).convert("RGB")) == SPACE.paint(mask))[mask != 255].all()


def test_large_pictures_are_reduced_in_tiles_and_masks_stay_masks(tmp_path):
    gallery = write_gallery(tmp_path, count=3, size=64, shards=1, tile=32)
    tiles, pairs = (handed(gallery.out[role][0])[3] for role in ("tiles", "pairs"))
    assert decoded(tiles["images"][0]).size == (32, 32) and decoded(pairs["images"][0]).size == (64, 64)
    colours = np.asarray(decoded(tiles["masks"][1]).convert("RGBA")).reshape(-1, 4)
    assert {tuple(colour[:3]) for colour in colours if colour[3]} <= {tuple(colour) for colour in SPACE.colours}


def test_a_mask_of_the_most_classes_keeps_every_one():
    space = LabelSpace(tuple(f"c{number}" for number in range(255)), tuple((number, 255 - number, number // 2) for number in range(255)))
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = np.asarray(decoded(pictures.mask(mask, 16, space)).convert("RGBA")).reshape(256, 4)
    assert (colours[:255, :3] == space.colours).all() and (colours[:255, 3] == 255).all() and colours[255, 3] == 0


def test_only_the_first_pairs_by_index_are_shown_and_all_are_counted(tmp_path):
    gallery = write_gallery(tmp_path, count=60, pairs=25)
    told = handed(gallery.out["numbers"])[3]
    assert told["columns"]["index"] == list(range(25)) and (told["count"], told["total"]) == (25, 60)
    assert gallery.card["shown"] == 25 and len(told["shards"]) == 1
    found = pd.concat([pd.read_csv(path) for path in gallery.neighbours])
    assert (
        gallery.card["copies"]["feature"]["share"] == (found["feature_distance"] < told["thresholds"]["feature"]).mean()
    )  # of all, whatever is shown


def test_what_the_nearest_pairs_hold_is_counted(gallery):
    columns = handed(gallery.out["numbers"])[3]["columns"]
    pixels = np.array(columns["pixels"])[:, :3]
    near = np.argsort(columns["distance"], kind="stable")[:12]
    most = pixels[near].sum(0).argmax()
    told = gallery.card["nearest"]
    assert (told["pairs"], told["class"]) == (12, SPACE.names[most])
    assert told["share"] == pytest.approx(pixels[near][:, most].sum() / pixels[near].sum())
    assert told["shown"] == pytest.approx(pixels[:, most].sum() / pixels.sum()) != told["share"]


def test_no_choice_of_the_form_is_longer_than_its_field():
    """A field is 13rem wide; some twenty letters fit beside its arrow."""
    words = re.findall(r"<option[^>]*>([^<]+)<", (document.STATIC / "body.html").read_text())
    assert len(words) > 10 and max(map(len, words)) <= 20


def test_decisions_reach_their_pairs(gallery):
    columns = handed(gallery.out["numbers"])[3]["columns"]
    assert columns["decision"] == [row % 3 for row in range(61)] and columns["reasons"][2] == 'distance <b>"&amp;"</b>'
    assert gallery.card["decisions"] == {"admitted": 21, "masked": 20, "rejected": 20}


def test_a_source_that_nobody_searched_has_no_distances(tmp_path):
    gallery = write_gallery(tmp_path, searched=False)
    told = handed(gallery.out["numbers"])[3]
    assert "thresholds" not in told and "distance" not in told["columns"] and gallery.card["copies"] is gallery.card["nearest"] is None
    assert handed(gallery.out["real"][0])[3] == {"images": [], "masks": []}


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    one, other = (write_gallery(tmp_path / name, count=20) for name in ("one", "other"))
    files = [path.relative_to(one.page.parent) for path in sorted(one.page.parent.rglob("*.*"))]
    assert len(files) == 7
    assert all((one.page.parent / path).read_bytes() == (other.page.parent / path).read_bytes() for path in files)


def test_tables_that_do_not_fit_are_refused(tmp_path):
    gallery = write_gallery(tmp_path)
    whole = gallery.neighbours[0].read_text()
    from gallery_fixtures import CFG

    from satsynth.reporting.gallery.packing import pack

    def again(**other):
        given = {"train": gallery.train, "neighbours": gallery.neighbours, "null": [tmp_path / "null.csv"]} | other
        return pack({"dataset": "demo", "source": "cascade"}, CFG, SPACE, gallery.view, gallery.out, **given)

    gallery.neighbours[0].write_text(whole.replace("feature_turn", "turn"))
    with pytest.raises(DataError, match="lacks feature_turn"):
        again()
    neighbours(gallery.neighbours[0], 12, 30, 1)
    with pytest.raises(StoreError, match="its rows are not the 30 pairs"):
        again()
    neighbours(gallery.neighbours[0], 30, 90, 1)
    with pytest.raises(StoreError, match="a store of 30 lacks"):
        again()
    gallery.neighbours[0].write_text(whole)
    with pytest.raises(StoreError, match="2 shards come with 1 files"):
        again(neighbours=gallery.neighbours[:1])
    table = pd.read_csv(tmp_path / "decisions-0.csv")
    for wrong, cause in (
        (table.assign(decision="perhaps"), "'perhaps' is no decision"),
        (table.drop(columns="reasons"), "lacks reasons"),
        (table, "pair 30 was not decided"),
    ):
        wrong.to_csv(tmp_path / "wrong.csv", index=False)
        with pytest.raises(DataError, match=cause):
            again(decisions=[tmp_path / "wrong.csv"])


def test_nothing_of_a_name_becomes_markup(tmp_path):
    space = LabelSpace(('<script>alert("x")</script>', "it's", "\u2028ß"), SPACE.colours)
    gallery = write_gallery(tmp_path, space=space, title='</title><script>alert("title")</script>')
    page, data = gallery.page.read_text(), gallery.out["numbers"].read_bytes()
    assert "<script>alert" not in page and page.count("<script>") == 1 and "&lt;script&gt;alert" in page
    assert data.isascii() and handed(gallery.out["numbers"])[3]["classes"][2]["name"] == "\u2028ß"


def test_what_the_page_does_in_a_browser_is_code_of_its_rule_alone():
    assert "satsynth/reporting/gallery/static/3_tiles.js" in digests("workflow_scripts/build_gallery.py")
    assert not [name for name in digests("workflow_scripts/pack_gallery.py") if "static" in name]


def test_what_editors_leave_beside_the_pages_code_counts_for_nothing(tmp_path):
    folder = tmp_path / "static"
    (folder / ".cache").mkdir(parents=True)
    (folder / "old").mkdir()
    for name in ("page.js", ".page.js.swp"):
        (folder / name).write_text("")
    assert _static(tmp_path / "page.py") == (folder / "page.js",)
    assert _reads_static(ast.parse("STATIC = 0")) and not _reads_static(ast.parse("OTHER = 0"))

import io
import re

import numpy as np
import pandas as pd
import pytest
from chromium import Watched, contrasts, overflow
from gallery_fixtures import write_gallery
from PIL import Image
from reporting_fixtures import SPACE

from satsynth.pairs import LabelSpace
from satsynth.reporting.gallery import document

FIRST = ".tile img.image[src]"


def ready(page):
    page.wait_for_selector(FIRST)
    return page


def shown(page) -> list[int]:
    """Indices of the pairs whose tiles are part of the page, in their order."""
    return [int(re.match(r"Pair (\d+)", name)[1]) for name in page.locator(".tile").evaluate_all("all => all.map(one => one.ariaLabel)")]


def leads(page, index: int):
    page.wait_for_function("name => document.querySelector('.tile').ariaLabel.startsWith(name)", arg=f"Pair {index},")


def settled(page, count: str):
    page.wait_for_function("text => document.getElementById('count').textContent === text", arg=count)


def test_it_opens_with_every_pair_counted_and_named(opened, gallery):
    page = ready(opened(gallery.page))
    assert page.inner_text("#count") == "60 of 60 pairs" and shown(page) == list(range(60))
    assert page.title() == "Gallery: Demo"
    tree = page.locator("body").aria_snapshot()
    for line in (
        'heading "Gallery: Demo" [level=1]',
        'combobox "Contains class"',
        'spinbutton "Code margin at least"',
        "status: 60 of 60 pairs",
    ):
        assert line in tree, tree[:3000]
    assert 'list "Pairs"' in tree and re.search(r'button "Pair 0, \w+ [0-9.]+ %, .*distance 0.00 × threshold, admitted"', tree)
    place = page.locator("#tiles li").nth(5)
    assert (place.get_attribute("aria-posinset"), place.get_attribute("aria-setsize")) == ("6", "60")


def test_filters_leave_exactly_the_pairs_that_pass_and_say_how_many(opened, gallery):
    page = ready(opened(gallery.page))
    index = np.concatenate([store.index["margin"] for store in gallery.view.stores])
    share = np.array([(gallery.view.pair(row)[1] == 2).mean() for row in range(60)])
    page.select_option("[name=class]", label="roof")
    page.fill("[name=least]", "20")
    wanted = np.flatnonzero(share >= 0.2)
    assert 0 < len(wanted) < 60
    settled(page, f"{len(wanted)} of 60 pairs")
    assert shown(page) == wanted.tolist() and page.locator("#count").get_attribute("role") == "status"
    page.fill("[name=margin]", "0.6")
    wanted = np.flatnonzero((share >= 0.2) & (index >= 0.6))
    settled(page, f"{len(wanted)} of 60 pairs")
    page.select_option("[name=decision]", "rejected")
    wanted = [row for row in wanted if row % 3 == 2]
    settled(page, f"{len(wanted)} of 60 pairs")
    assert shown(page) == wanted
    page.fill("[name=margin]", "5")
    settled(page, "0 of 60 pairs")
    assert page.inner_text("#none") == "No pair passes these filters."
    page.click("text=Show all")
    settled(page, "60 of 60 pairs")
    page.check("[name=copies]")
    settled(page, "1 of 60 pairs")
    assert shown(page) == [0]


def test_sorting_by_margin_distance_and_share(opened, gallery):
    page = ready(opened(gallery.page))
    margin = np.concatenate([store.index["margin"] for store in gallery.view.stores])
    page.select_option("[name=sort]", "margin")
    leads(page, margin.argmin())
    assert shown(page) == np.argsort(margin, kind="stable").tolist()
    page.check("[name=down]")
    leads(page, margin.argmax())
    page.select_option("[name=sort]", "distance")
    page.uncheck("[name=down]")
    leads(page, 0)
    share = np.array([(gallery.view.pair(row)[1] == 1).mean() for row in range(60)])
    page.select_option("[name=class]", label="water")
    page.select_option("[name=sort]", "share")
    page.check("[name=down]")
    leads(page, share.argmax())


def test_a_tile_opens_with_its_numbers_and_arrows_walk_through_what_is_filtered(opened, gallery):
    page = ready(opened(gallery.page))
    page.select_option("[name=decision]", "masked")
    settled(page, "20 of 60 pairs")
    page.locator(".tile").nth(1).click()
    dialog = page.get_by_role("dialog", name="Pair 4 of cascade")
    assert dialog.is_visible() and page.inner_text("#pair-place") == "2 of 20"
    told = page.inner_text("#numbers")
    row = gallery.view.stores[0].index.iloc[4]
    for part in ("masked", "agreement", "4, seed 4", "results/demo/32px/cascade/shard-0000, row 4", "ab" * 32, "20 + 10", "dpmpp_2m"):
        assert part in told
    assert f"{float(f'{row.margin:.3g}'):g}" in told and 'town "' in told and "<i>" in told  # a hostile scene is text
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#pair-h") == "Pair 7 of cascade" and "pair=7" in page.url
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#pair-h") == "Pair 1 of cascade" and page.is_disabled("#previous")


def test_the_keyboard_alone_walks_opens_and_comes_back(opened, gallery):
    page = ready(opened(gallery.page))
    page.focus("button[type=reset]")
    page.keyboard.press("Tab")
    columns = page.evaluate(
        "Math.round(document.getElementById('tiles').clientWidth / (document.querySelector('#tiles li').offsetWidth + 10))"
    )
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.ariaLabel").startswith(f"Pair {columns + 1},")
    assert page.locator(".tile[tabindex='0']").count() == 1
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.ariaLabel").startswith("Pair 59,")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "pair-h" and page.is_disabled("#next")
    walked = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        walked.add(page.evaluate("document.activeElement.id || document.activeElement.textContent || document.activeElement.tagName"))
        assert page.evaluate("document.activeElement === document.body || document.getElementById('pair').contains(document.activeElement)")
    assert {"previous", "copy", "close", "opacity", "turn"} <= walked
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.ariaLabel").startswith("Pair 59,") and "pair=" not in page.url


def test_the_focus_stays_where_a_button_or_a_tile_goes_away(opened, gallery):
    page = ready(opened(gallery.page, "#pair=58"))
    page.wait_for_selector("dialog[open]")
    page.focus("#next")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('next').disabled")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#pair-h") == "Pair 58 of cascade"
    page.keyboard.press("Escape")
    before = page.evaluate("document.activeElement.getBoundingClientRect().width")
    page.set_viewport_size({"width": 700, "height": 900})  # as by zooming in: all tiles are laid anew
    page.wait_for_function("before => document.querySelector('.tile').getBoundingClientRect().width !== before", arg=before)
    page.wait_for_timeout(200)
    assert page.evaluate("document.activeElement.ariaLabel").startswith("Pair 58,")


def test_the_address_opens_the_pair_and_keeps_what_was_chosen(opened, gallery):
    page = opened(gallery.page, "#place=demo-32px-cascade&class=water&sort=margin&down=1&pair=17")
    page.wait_for_selector("dialog[open]")
    assert page.inner_text("#pair-h") == "Pair 17 of cascade"
    assert page.input_value("[name=class]") == "water" and page.input_value("[name=sort]") == "margin" and page.is_checked("[name=down]")
    address = page.url
    page.evaluate("location.hash = '#place=nowhere&class=<b>&sort=nothing&pair=3'")
    page.wait_for_function("() => document.getElementById('pair-h').textContent === 'Pair 3 of cascade'")
    assert page.input_value("[name=class]") == "" and page.input_value("[name=sort]") == "index"
    page.goto(address)
    page.wait_for_function("() => document.getElementById('pair-h').textContent === 'Pair 17 of cascade'")


def pixels(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), float)


def test_the_nearest_patch_is_turned_as_it_fits_and_the_mask_covers_what_it_says(opened, gallery):
    """Pair 0 is patch 7 transposed and mirrored: beside each other, and without masks, the two look the same."""
    page = ready(opened(gallery.page, "#pair=0"))
    page.wait_for_selector("dialog[open]")
    page.wait_for_function(
        "() => document.querySelector('#nearest img').complete && document.getElementById('nearest').style.transform !== ''"
    )
    page.locator("#opacity").fill("0")
    made, real = (pixels(page.locator(name)) for name in ("#made", "#nearest"))
    assert np.abs(made - real).mean() < 8
    page.uncheck("#turn")
    page.wait_for_function("() => document.getElementById('nearest').style.transform === ''")
    assert np.abs(made - pixels(page.locator("#nearest"))).mean() > 20
    page.locator("#opacity").fill("100")
    mask = gallery.view.pair(0)[1]
    covered = pixels(page.locator("#made"))
    side = len(covered)
    centres = ((np.arange(32) + 0.5) * side / 32).astype(int)
    found = covered[np.ix_(centres, centres)]
    labelled = mask != 255
    assert np.abs(found[labelled] - SPACE.paint(mask)[labelled]).max() < 3
    water = page.get_by_role("button", name=re.compile("^water"))
    assert water.get_attribute("aria-pressed") == "true"
    water.click()
    assert water.get_attribute("aria-pressed") == "false"
    page.wait_for_timeout(200)
    found = pixels(page.locator("#made"))[np.ix_(centres, centres)]
    assert np.abs(found[mask == 1] - SPACE.colours[1]).mean() > 20 and np.abs(found[mask == 0] - SPACE.colours[0]).max() < 3


def test_a_source_without_distances_or_decisions_offers_no_such_filter(opened, tmp_path):
    page = ready(opened(write_gallery(tmp_path, count=9, searched=False).page))
    assert not page.is_visible("[name=nearer]") and not page.is_visible("[name=decision]") and page.is_visible("[name=margin]")
    page.locator(".tile").first.click()
    assert not page.is_visible("#real") and page.is_visible("#made")


def test_hostile_names_are_text(opened, tmp_path):
    space = LabelSpace(("<img src=x onerror=alert(1)>", "a\"&'b", "日本 \u2028 ß"), SPACE.colours)
    page = ready(opened(write_gallery(tmp_path, count=9, space=space, title="</script><script>alert('t')</script>").page))
    assert page.inner_text("h1") == "Gallery: </script><script>alert('t')</script>"
    page.select_option("[name=class]", label="a\"&'b")
    page.locator(".tile").first.click()
    assert "<img src=x onerror=alert(1)>" in page.inner_text("#legend") and page.locator("#legend img").count() == 0


def test_a_missing_file_is_told_and_the_rest_stays(browser, tmp_path):
    gallery = write_gallery(tmp_path, count=9)
    gallery.out["pairs"][0].unlink()
    watched = Watched(browser, {})
    page = ready(watched.open(gallery.page, ""))
    page.locator(".tile").first.click()
    page.wait_for_function("() => !document.getElementById('problem').hidden")
    assert "pairs-000.js cannot be read. Keep the folder gallery" in page.get_by_role("alert").inner_text()
    watched.context.close()


def test_a_source_that_cannot_be_read_is_not_said_to_be_shown(browser, tmp_path):
    gallery = write_gallery(tmp_path, count=9)
    document.write(gallery.page, "Two", [gallery.card, gallery.card | {"name": "absent", "source": "other"}])
    watched = Watched(browser, {})
    page = ready(watched.open(gallery.page, ""))
    page.select_option("[name=place]", "absent")
    page.wait_for_function("() => !document.getElementById('problem').hidden")
    assert "absent/numbers.js cannot be read" in page.inner_text("#problem")
    assert page.input_value("[name=place]") == "demo-32px-cascade"
    page.check("[name=down]")
    page.wait_for_url("**down=1")
    assert "place=demo-32px-cascade" in page.url and "cascade on demo" in page.inner_text("#shown")
    watched.context.close()


def test_no_picture_of_another_pair_is_left_where_one_cannot_be_read(browser, tmp_path):
    gallery = write_gallery(tmp_path, count=300)  # two files, the second of which is missing
    gallery.out["pairs"][1].unlink()
    watched = Watched(browser, {})
    page = ready(watched.open(gallery.page, "#pair=149"))
    page.wait_for_function("() => document.querySelector('#made canvas').width === 32")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => !document.getElementById('problem').hidden")
    assert page.inner_text("#pair-h") == "Pair 150 of cascade"
    assert page.evaluate("[...document.querySelectorAll('dialog .picture img')].map(one => one.getAttribute('src'))") == [None, None]
    assert page.evaluate("[...document.querySelectorAll('dialog canvas')].map(one => one.width)") == [0, 0]
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.querySelector('#made canvas').width === 32")
    assert not page.is_visible("#problem")
    watched.context.close()


def test_a_mask_that_is_decoded_late_does_not_cover_the_next_pair(opened, gallery):
    page = ready(opened(gallery.page, "#pair=9"))
    page.wait_for_function("() => document.querySelector('#made canvas').width === 32")
    canvas = "document.querySelector('#made canvas').toDataURL()"
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    expected = page.evaluate(canvas)
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    assert page.evaluate(canvas) != expected
    page.evaluate(
        """() => {
          const decode = HTMLImageElement.prototype.decode;
          let slow = 2; // both masks of the pair that comes first
          HTMLImageElement.prototype.decode = async function () {
            if (slow > 0) { slow -= 1; await new Promise((done) => setTimeout(done, 400)); }
            return decode.call(this);
          };
        }"""
    )
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(100)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(800)
    assert page.inner_text("#pair-h") == "Pair 10 of cascade" and page.evaluate(canvas) == expected


def test_a_browser_that_refuses_an_address_is_asked_again(opened, gallery):
    page = ready(opened(gallery.page, "#pair=4"))
    page.wait_for_selector("dialog[open]")
    page.evaluate(
        """() => {
          const replace = history.replaceState.bind(history);
          let refusals = 2;
          history.replaceState = (...given) => {
            if (refusals-- > 0) throw new DOMException("too many calls", "SecurityError");
            replace(...given);
          };
        }"""
    )
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#made canvas').width === 32")
    assert page.inner_text("#pair-h") == "Pair 5 of cascade" and "pair=4" in page.url
    page.wait_for_url("**pair=5", timeout=5000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_dark_and_light(opened, gallery, scheme, tmp_path):
    page = ready(opened(gallery.page, viewport={"width": 360, "height": 740}, color_scheme=scheme, reduced_motion="reduce"))
    assert overflow(page) <= 0
    page.locator("summary").click()
    assert page.is_visible("[name=sort]") and overflow(page) <= 0
    assert min(contrasts(page, "h1, p, label, summary, button, .tile span, option:checked")) >= 4.5
    picture = Image.open(io.BytesIO(page.screenshot()))
    assert (np.asarray(picture.convert("L"))[:4].mean() > 200) == (scheme == "light")
    page.locator(".tile").first.click()
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.getElementById('pair').scrollWidth - document.getElementById('pair').clientWidth") <= 0
    assert min(contrasts(page, "dialog h2, dialog dt, dialog dd, dialog button, dialog figcaption")) >= 4.5


def test_five_thousand_pairs_stay_a_page_of_few_tiles(opened, tmp_path_factory):
    # So many files that one view of another order needs more of them than the page keeps.
    gallery = write_gallery(tmp_path_factory.mktemp("large"), count=5000, size=16, shards=4, parts=250)
    page = ready(opened(gallery.page, viewport={"width": 1600, "height": 1400}))
    assert page.inner_text("#count") == "5\u202f000 of 5\u202f000 pairs" and page.locator(".tile").count() < 300
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("() => document.querySelector('.tile[aria-label^=\"Pair 4999,\"] img.image[src]') !== null")
    assert page.locator(".tile").count() < 300
    page.evaluate("window.scrollTo(0, 0)")
    page.select_option("[name=sort]", "distance")
    leads(page, pd.concat([pd.read_csv(path) for path in gallery.neighbours], ignore_index=True)["feature_distance"].argmin())
    page.wait_for_function("() => document.querySelectorAll('.tile img.image:not([src])').length === 0")
    page.focus(".tile[tabindex='0']")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-posinset')") == "5000"


def test_print_shows_the_tiles_without_the_controls(opened, gallery):
    page = ready(opened(gallery.page))
    page.emulate_media(media="print")
    assert not page.is_visible("#filters") and page.is_visible(".tile") and overflow(page) <= 0

import re

import pytest
from chromium import contrasts, overflow
from gallery_fixtures import write_gallery
from PIL import Image
from reporting_fixtures import write_demo

from satsynth.reporting import page, tables

HOSTILE = "</script><script>alert('t')</script>\"'&\u2028<b>"


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A page of two tables, two figures and a gallery, written from runs that never ran."""
    root = tmp_path_factory.mktemp("report")
    runs, real = write_demo(root / "demo", {("real", 0): 0.3, ("synthetic", 1): 0.6, ("union", 1): 0.2, ("control", 0): 0.35})
    made = {}
    for name, view in (("main", "gain"), ("classes", "per_class")):
        cfg = {"title": f"{name} {HOSTILE}", "confidence": 0.95, "replicates": 20, "seed": 0}
        made[name] = {kind: root / f"results/tables/{name}.{kind}" for kind in ("csv", "md", "tex")}
        tables.build(view, runs, real, cfg, made[name])
    drawn = {}
    for name, size in (("pairs", (1900, 300)), ("curve", (640, 400))):
        drawn[name] = {"png": root / f"results/figures/{name}.png", "pdf": root / f"results/figures/{name}.pdf"}
        drawn[name]["png"].parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "teal").save(drawn[name]["png"])
        Image.new("RGB", size, "teal").save(drawn[name]["pdf"])
    gallery = write_gallery(root)
    place = gallery.card | {"strip": gallery.out["strip"]}
    facts = {"datasets": [], "generators": [], "training_sets": [], "segmenters": [], "evaluators": [], "digests": {"weights": "ab" * 32}}
    out = root / "results/report/index.html"
    cfg = {"title": HOSTILE, "views": {"pairs": "pairs", "curve": "ratio_curve"}}
    page.write(out, cfg, made, drawn, {"pairs": HOSTILE}, facts, {"torch": "2.0"}, places=[place])
    return out


def test_the_page_opens_and_its_answers_tables_and_links_are_there(opened, report):
    shown = opened(report)
    assert shown.inner_text("h1").startswith("</script><script>alert('t')")
    tree = shown.locator("body").aria_snapshot()
    for line in ('heading "Three questions" [level=2]', 'heading "Is it memorised?" [level=3]', 'navigation "Sections"', "- main:"):
        assert line in tree, tree[:2000]
    assert shown.locator("table").count() >= 3 and shown.locator("figure").count() == 3
    for target in shown.locator("a[href^='#']").evaluate_all("all => all.map(one => one.getAttribute('href'))"):
        assert shown.locator(f"[id='{target[1:]}']").count() == 1, target
    links = shown.locator("a:not([href^='#'])").evaluate_all("all => all.map(one => one.getAttribute('href').split('#')[0])")
    assert "gallery.html" in links and "../tables/main.csv" in links
    assert all((report.parent / link).resolve().is_file() for link in links)


def test_the_strip_leads_into_the_gallery(opened, report):
    shown = opened(report)
    shown.click("a.strip")
    shown.wait_for_selector(".tile img.image[src]")
    assert shown.inner_text("#count") == "60 of 60 pairs"
    shown.click("text=The report")
    assert shown.locator("#table-main").count() == 1


def column(shown, table, place):
    return shown.locator(f"#{table} tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{place}].textContent)")


def test_a_column_sorts_up_and_down_and_back_and_dashes_stay_last(opened, report):
    shown = opened(report)
    heads = shown.locator("#table-main thead th").all_inner_texts()
    place = next(number for number, head in enumerate(heads) if head.startswith("Difference"))
    before = column(shown, "table-main", place)
    button = shown.locator("#table-main thead button").nth(place)

    def numbers():
        cells = column(shown, "table-main", place)
        found = [float(re.match(r"[+-]?[0-9.]+", cell.replace("−", "-"))[0]) for cell in cells if cell != "–"]
        assert cells[len(found) :] == ["–"] * (len(cells) - len(found)) and len(found) >= 2
        return found

    button.click()
    assert numbers() == sorted(numbers()) and shown.locator("#table-main th[aria-sort]").get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    assert numbers() == sorted(numbers(), reverse=True)
    button.click()
    assert column(shown, "table-main", place) == before and shown.locator("#table-main th[aria-sort]").count() == 0


def test_a_table_is_copied_as_text_that_a_spreadsheet_takes(opened, report):
    shown = opened(report, permissions=["clipboard-read", "clipboard-write"])
    shown.locator("#table-main .tools button", has_text="Copy as TSV").click()
    shown.wait_for_function("() => document.querySelector('#table-main [role=status]').textContent === 'Copied.'")
    lines = shown.evaluate("navigator.clipboard.readText()").split("\n")
    assert len(lines) == 1 + shown.locator("#table-main tbody tr").count() and len({line.count("\t") for line in lines}) == 1
    shown.locator("#table-main .tools button", has_text="Copy as Markdown").click()
    shown.wait_for_function("() => navigator.clipboard.readText().then(text => text.startsWith('| '))")
    text = shown.evaluate("navigator.clipboard.readText()")
    assert text.split("\n")[1].startswith("| --- |")


def test_without_scripts_the_page_is_whole(opened, report):
    shown = opened(report, java_script_enabled=False)
    assert shown.locator("#table-main table tbody tr").count() >= 4 and shown.locator("th button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_scrolls_down_only_and_its_text_can_be_read(opened, report, scheme):
    shown = opened(report, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert overflow(shown) <= 0
    assert min(contrasts(shown, "h1, h2, h3, p, a, th, td, button, figcaption, .notes li, caption span")) >= 4.5
    shown.emulate_media(media="print")
    assert not shown.locator(".tools").first.is_visible()


def test_hostile_names_reach_the_gallery_as_text(opened, tmp_path):
    shown = opened(write_gallery(tmp_path, count=5, title=HOSTILE).page)
    shown.wait_for_selector(".tile")
    assert shown.inner_text("h1").startswith("Gallery: </script><script>")

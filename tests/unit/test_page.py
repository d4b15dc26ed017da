import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from gallery_fixtures import write_gallery
from PIL import Image
from reporting_fixtures import write_demo, write_json

from satsynth import reporting
from satsynth.reporting import page, tables
from satsynth.reporting.captions import ADMISSION, CAPTIONS, MEASURES, METHODS, RIVALS
from satsynth.reporting.citations import WORKS
from satsynth.reporting.facts import collect, words

VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Checks that elements nest, and keeps text, attributes and the number of each element."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.attributes, self.tags = [], "", [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def task(tmp_path):
    """What the job that writes the page is given: two tables, two figures and the cards at their paths."""
    runs, real = write_demo(tmp_path / "demo", {("real", 0): 0.3, ("synthetic", 1): 0.6, ("union", 1): 0.2})
    results = tmp_path / "results"
    for name, view in (("main", "gain"), ("classes", "per_class")):
        cfg = {"title": f"Table <script>alert('{name}')</script>", "confidence": 0.95, "replicates": 20, "seed": 0}
        tables.build(view, runs, real, cfg, {kind: results / f"tables/{name}.{kind}" for kind in ("csv", "md", "tex")})
    (results / "figures").mkdir()
    for name in ("grid", "curve"):
        Image.new("RGB", (40, 20), "red").save(results / f"figures/{name}.png")
    for split, folder in (("train", real[0].train), ("val", real[0].val)):
        shutil.copytree(folder, results / f"demo/16px/real/{split}")
    cards = []
    for run in runs:
        cards.append(results / f"demo/16px/segmentation/{run.training_set}/{run.segmenter}/seed-{run.seed}/card.json")
        write_json(cards[-1], json.loads((run.folder / "card.json").read_text()))
    facts = {"kind": "ddpm", "size": 32, "parameters": 2640000, "steps": 2800, "images_seen": 179200, "weights_sha256": "ab" * 32}
    place = results / "demo/16px/real"
    return SimpleNamespace(
        input={
            "tables": [results / "tables/classes.csv", results / "tables/main.csv"],
            "printed": [results / "tables/classes.md", results / "tables/main.md"],
            "figures": [results / "figures/grid.png", results / "figures/curve.png"],
            "generators": [write_json(results / "demo/generators/satsynth/card.json", facts)],
            "runs": cards,
            "evaluators": [],
            "real": [place / "train/card.json", place / "val/card.json", shutil.copy(real[0].classes, results / "demo")],
            "indices": [place / "val/index.csv"],
        },
        cfg={
            "title": "Demo <script>alert(1)</script>",
            "run": ["main", "curve", "grid", "classes"],
            "views": {"grid": "pairs", "curve": "ratio_curve"},
            "licences": {"town": "CC-BY-4.0"},
            "splits": {"demo": {"by": "scene", "seed": 0, "val": 0.25}},
        },
        output={"page": tmp_path / "state/staged/index.html"},
        declared={"page": results / "report/index.html"},
    )


def test_page_holds_every_table_and_figure_in_order_and_nests(task):
    page.write_run(task)
    reader = read(task.output["page"])
    values = {(tag, name): [v for t, n, v in reader.attributes if (t, n) == (tag, name)] for tag, name, _ in reader.attributes}
    assert values["article", "id"] == ["answer-memorised", "answer-significant", "answer-made", "table-main", "table-classes"]
    assert values["figure", "id"] == ["figure-curve", "figure-grid"]
    assert values["html", "lang"] == ["en"] and reader.tags.count("h1") == 1
    assert all(text for text in values["img", "alt"]) and len(values["img", "alt"]) == 2
    assert set(values["th", "scope"]) == {"col", "row"} and len(values["th", "scope"]) == reader.tags.count("th")
    assert "raised mIoU" in reader.text and "field" in reader.text and "Licence of town: CC-BY-4.0." in reader.text


def test_page_stands_alone_and_links_from_its_final_place(task):
    page.write_run(task)
    reader = read(task.output["page"])
    assert all(value.startswith("data:image/png;base64,") for _, name, value in reader.attributes if name == "src")
    links = [value for _, name, value in reader.attributes if name == "href" and not value.startswith("#")]
    assert {"../tables/main.csv", "../tables/main.md", "../tables/main.tex", "../figures/grid.png", "../figures/grid.pdf"} <= set(links)
    assert all(link.startswith("../") for link in links)
    anchors = [value[1:] for _, name, value in reader.attributes if name == "href" and value.startswith("#")]
    assert anchors and set(anchors) <= {value for _, name, value in reader.attributes if name == "id"}


def test_markup_in_names_is_only_text(task):
    page.write_run(task)
    reader = read(task.output["page"])
    assert reader.tags.count("script") == 1 and f"<script>{page._script()}</script>" in task.output["page"].read_text()
    assert "<script>alert(1)</script>" in reader.text and "<script>alert('main')</script>" in reader.text


def test_page_says_what_was_run_and_is_repeatable(task):
    page.write_run(task)
    before = task.output["page"].read_bytes()
    text = read(task.output["page"]).text.replace("\u202f", " ")
    for said in (
        "8 real training patches, 6 validation patches from 3 scenes",
        "Val of demo is 25\u00a0% of the scenes, drawn by seed 0 (3 scenes: scene_0, scene_1 and scene_2).",
        "real+cascade-r1 (demo, 16 px): 40 real, 40 added",
        *(paragraph for paragraph in METHODS if "patch by patch" in paragraph),
        "2 640 000 parameters",
        "179 200 images seen",
        "seeds 0, 1 and 2",
        "abababababab",
    ):
        assert said in text, said
    page.write_run(task)
    assert task.output["page"].read_bytes() == before


def test_the_gallery_is_shown_by_a_strip_and_linked(task, tmp_path):
    places = [write_gallery(tmp_path / "results/report"), write_gallery(tmp_path / "other", pairs=20, searched=False)]
    task.input |= {"gallery": [place.out["card"] for place in places], "strips": [place.out["strip"] for place in places]}
    page.write_run(task)
    reader = read(task.output["page"])
    links = [value for tag, name, value in reader.attributes if (tag, name) == ("a", "href") and "gallery" in value]
    place = "gallery.html#place=demo-32px-cascade"
    assert links == ["#gallery", f"{place}&sort=distance", *[place] * 4]
    pictures = [value for tag, name, value in reader.attributes if (tag, name) == ("img", "src") and "jpeg" in value]
    assert pictures == [f"data:image/jpeg;base64,{base64.b64encode(place.out['strip'].read_bytes()).decode()}" for place in places]
    text = reader.text.replace("\u202f", " ")
    assert "shows 60 pairs, by class" in text and "shows 20 of 60 pairs, by class" in text
    assert "cascade on demo, 32 px: of 60 pairs, " in text  # the answer to the first question
    assert "12 nearest pairs in the gallery" in text and "Of val's labelled" not in text  # its real pairs are not on this page


def test_exports_are_linked_where_there_are_any(task, tmp_path):
    page.write_run(task)
    assert "For other training code" not in read(task.output["page"]).text
    task.input["exports"] = [tmp_path / "results/exports/trainset/README.md"]
    page.write_run(task)
    reader = read(task.output["page"])
    assert ("a", "href", "../exports/trainset/README.md") in reader.attributes and "For other training code" in reader.text


def test_only_works_that_the_run_used_are_cited(task, tmp_path):
    page.write_run(task)
    text = read(task.output["page"]).text
    for word in ("satsynth", "ddpm", "fpn"):
        assert WORKS[word] in text
    assert not any(WORKS[word] in text for word in ("segdiff", "pspnet", "fid", "cutout"))
    tabulate(task, tmp_path, "gain", "rival", network="segdiff")
    page.write_run(task)
    assert WORKS["segdiff"] in read(task.output["page"]).text


def test_a_policy_forbids_all_but_the_pages_own_script_and_style(task):
    page.write_run(task)
    (rule,) = (
        value for tag, name, value in read(task.output["page"]).attributes if (tag, name) == ("meta", "content") and "default" in value
    )
    text = task.output["page"].read_text()
    for name in ("script", "style"):
        (held,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert f"{name}-src 'sha256-{base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()}'" in rule
    assert "default-src 'none'" in rule and "http" not in rule


def tabulate(task, root, view, name, **demo):
    """Give the page one table more."""
    errors = {("real", 0): 0.3, ("union", 1): 0.2, ("union", 3): 0.3}
    runs, real = write_demo(root / name, errors, seeds=2, **demo)
    place = task.input["tables"][0].parent
    cfg = {"title": f"Title of {name}", "confidence": 0.95, "replicates": 20, "seed": 0}
    tables.build(view, runs, real, cfg, {kind: place / f"{name}.{kind}" for kind in ("csv", "md", "tex")})
    task.input["tables"].append(place / f"{name}.csv")
    task.input["printed"].append(place / f"{name}.md")


def test_every_view_of_a_table_has_its_caption(task, tmp_path):
    for view in ("summary", "dataset"):
        tabulate(task, tmp_path, view, f"my_{view}")
    page.write_run(task)
    text = read(task.output["page"]).text
    assert all(CAPTIONS[view] in text for view in ("gain", "per_class", "summary", "dataset"))


def test_figures_are_told_apart_by_their_names(task):
    folder = task.input["figures"][0].parent
    shutil.copy(folder / "grid.png", folder / "grid_of_semgan.png")
    task.input["figures"].append(folder / "grid_of_semgan.png")
    task.cfg["views"]["grid_of_semgan"] = "pairs"
    page.write_run(task)
    reader = read(task.output["page"])
    for name in ("grid", "grid of semgan"):
        assert f"{name}. {CAPTIONS['pairs']} (" in reader.text
        assert ("img", "alt", f"{name}. {CAPTIONS['pairs']}") in reader.attributes
    assert reader.tags.count("figcaption") == 3


def test_methods_speak_of_rivals_and_measures_only_where_there_are_any(task, tmp_path):
    page.write_run(task)
    text = read(task.output["page"]).text
    others = (*RIVALS.values(), MEASURES, ADMISSION, WORKS["admitted"])
    assert all(paragraph in text for paragraph in METHODS) and not any(words in text for words in others)
    tabulate(task, tmp_path, "gain", "rival", network="segdiff")
    gan = write_json(tmp_path / "results/demo/generators/gan/card.json", {"kind": "semgan"})
    task.input["generators"].append(gan)
    measured = task.input["tables"][0].parent / "measured.csv"
    measured.write_text("source,method,fid,is,class_js,copies_features\nbare,image_only_wide,1,2,3,\ngood,satsynth_admitted,1,2,3,\n")
    shutil.copy(task.input["printed"][0], measured.with_suffix(".md"))
    task.input["tables"].append(measured)
    task.input["printed"].append(measured.with_suffix(".md"))
    page.write_run(task)
    text = read(task.output["page"]).text
    assert all(words in text for words in (*METHODS, *others))


def origins(reader):
    """The blocks that say what each table was made of; here, that state does not know it."""
    found = [entry for entry in reader.attributes if entry == ("details", "class", "origin")]
    assert len(found) == reader.text.count("State does not know which job made this table")
    return found


def test_two_comparisons_stand_open_under_the_names_of_their_tables(task, tmp_path):
    tabulate(task, tmp_path, "gain", "other")
    page.write_run(task)
    reader = read(task.output["page"])
    assert reader.tags.count("details") == len(task.input["tables"]) == len(origins(reader))  # none but those of the provenance
    assert {"#table-main", "#table-other"} <= {value for tag, name, value in reader.attributes if (tag, name) == ("a", "href")}
    assert reader.text.count("demo, 16 px, fpn: ") == 2


def test_a_comparison_that_two_tables_make_is_told_once(task, tmp_path):
    place = task.input["tables"][0].parent
    for kind in ("csv", "md", "tex"):
        shutil.copy(place / f"main.{kind}", place / f"again.{kind}")
    task.input["tables"].append(place / "again.csv")
    task.input["printed"].append(place / "again.md")
    page.write_run(task)
    reader = read(task.output["page"])
    assert reader.text.count("Training on the real pairs D alone gives") == reader.text.count("raised mIoU.") == 1
    assert "demo, 16 px, fpn: what synthetic pairs change is said above." in reader.text
    assert "<ul></ul>" not in task.output["page"].read_text(encoding="utf-8")


def test_many_comparisons_take_a_line_each(task, tmp_path):
    for subject in ("pspnet", "segformer"):
        tabulate(task, tmp_path, "gain", f"of_{subject}", subject=subject)
    page.write_run(task)
    reader = read(task.output["page"])
    assert reader.tags.count("details") == reader.tags.count("summary") == 3 + len(origins(reader))
    for said in ("demo, 16 px, fpn: ", "demo, 16 px, pspnet: ", "demo, 16 px, segformer: ", "Training on the real pairs D alone"):
        assert said in reader.text


def test_facts_leave_unsaid_what_a_card_lacks(tmp_path):
    card = write_json(tmp_path / "demo/generators/g/card.json", {})
    assert words(collect([], [card], [])) == ["Generator g (demo)."]


def test_reporting_never_imports_torch():
    code = """
import importlib, pkgutil, sys
from satsynth import reporting
for module in pkgutil.walk_packages(reporting.__path__, "satsynth.reporting."):
    importlib.import_module(module.name)
    print(module.name.removeprefix("satsynth.reporting."))
print(*(name for name in ("torch", "matplotlib.pyplot", "snakemake") if name in sys.modules), sep=" ")
"""
    *imported, forbidden = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
    assert forbidden == ""
    folder = Path(reporting.__file__).parent
    assert {path.stem for path in folder.rglob("[a-z]*.py")} == {name.split(".")[-1] for name in imported} - {
        "tables",
        "figures",
        "gallery",
    }


def test_a_run_that_several_tables_share_is_told_once(tmp_path):
    runs, _ = write_demo(tmp_path / "demo", {("real", 0): 0.3}, seeds=2)
    cards = []
    for run in runs:
        place = tmp_path / f"results/demo/16px/segmentation/{run.training_set}/{run.segmenter}/seed-{run.seed}/card.json"
        cards.append(write_json(place, json.loads((run.folder / "card.json").read_text())))
    found = collect([], [], [*cards, *map(str, cards)])["segmenters"]
    assert [(entry["name"], entry["runs"], entry["seeds"]) for entry in found] == [("fpn", 2, [0, 1])]

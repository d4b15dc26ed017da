"""What a finished run shows: the gallery beside the report, and Snakemake's own report with a caption for each file."""

import html
import json
import re

from satsynth.reporting.captions import CAPTIONS
from satsynth.runtime.files import read_json


def test_the_gallery_of_a_run_shows_its_pairs_and_the_report_leads_there(finished):
    results = finished.folder / "results"
    card = read_json(results / "report/gallery/demo-64px-cascade/card.json")
    made = [read_json(path)["count"] for path in sorted(results.glob("demo/64px/cascade/shard-*/card.json"))]
    assert card["shown"] == card["total"] == sum(made[:2]) > 0 and card["copies"] is None  # the tiny run searches nothing
    assert 'href="gallery.html#place=demo-64px-cascade"' in (results / "report/index.html").read_text()
    assert '<option value="demo-64px-cascade">' in (results / "report/gallery.html").read_text()


def test_snakemakes_report_carries_every_table_and_figure_with_words_of_its_own(finished):
    finished.run("--report", "report.html")
    text = html.unescape(re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), (finished.folder / "report.html").read_text()))
    plain = re.sub(r"\s+", " ", text.replace("\\n", " "))
    for view in ("gain", "class_distribution", "pairs", "upscaling", "ratio_curve", "training_curves"):
        assert CAPTIONS[view].split(". ")[0].split(",")[0] in plain, view
    assert "The first pairs of source <strong>cascade</strong> on <strong>demo</strong>" in plain
    for label in ({"figure": "pairs"}, {"table": "gain"}, {"source": "cascade on demo, 64 px"}, {"generator": "satsynth on demo"}):
        assert f'"labels": {json.dumps(label)}' in plain
    assert all(f'"{group}"' in plain for group in ("Tables", "Figures", "What the pairs are worth", "Pairs", "Report", "Generators"))

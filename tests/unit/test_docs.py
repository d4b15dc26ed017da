"""The documents keep in step with the code: messages that they quote are raised, links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"])
# Words of Snakemake and torch, and of our Makefile.
FOREIGN = (
    *("No rule to produce", "No such file or directory: 'check_data'", "Directory cannot be locked", "The directory cannot be locked"),
    *("BUG: Out of jobs ready to be started", "CUDA out of memory", "Config file is not valid JSON or YAML."),
)


def spoken():
    """All string literals of the code one after the other, as adjacent ones are read, with `…` for what is filled in."""
    files = [*(ROOT / "satsynth").rglob("*.py"), *(ROOT / "rules").glob("*.smk"), ROOT / "Makefile"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    joined = re.sub(r'"\s*\n\s*f?"', "", text)  # "one " \n "literal"
    return re.sub(r"%[sd]|\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "…", joined)


def messages():
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    page = page.split("## What came out")[0]
    return [row[1] for row in re.finditer(r"^\| `([^`]+)`", page, re.MULTILINE)]


@pytest.mark.parametrize("message", messages())
def test_every_message_of_the_troubleshooting_page_is_raised(message):
    assert message in FOREIGN or message in spoken()


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them, and those that stand in it."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page}: {target}"
        assert not anchor or place.suffix != ".md" or anchor in anchors(place), f"{page}: {target}"


def test_the_readme_names_every_page():
    named = set(re.findall(r"\]\((docs/[^)#]+\.md)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {page.relative_to(ROOT).as_posix() for page in PAGES if page.parent.name == "docs"} <= named


def test_every_result_of_the_papers_page_is_a_stanza_of_its_config():
    page = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    config = yaml.safe_load((ROOT / "configs/paper.yaml").read_text(encoding="utf-8"))
    tables = set(re.findall(r"results/tables/(\w+)\.csv", page))
    figures = set(re.findall(r"results/figures/(\w+)\.png", page))
    for before, listed in re.findall(r"results/figures/(\w*)\{([\w,]+)\}\.png", page):
        figures |= {before + one for one in listed.split(",")}
    assert tables and tables <= set(config["experiments"])
    assert figures and figures <= set(config["figures"])
    # Nothing that the whole run makes is left without a command of its own, but for views of what others trained.
    assert {name for name in config["run"] if name.startswith("table") or name in config["experiments"]} <= tables

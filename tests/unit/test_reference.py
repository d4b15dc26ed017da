"""The configuration reference keeps in step with the schema and the preset, and says of every key what it takes."""

from pathlib import Path

import pytest
import yaml

from satsynth.plan.presets import load_preset
from satsynth.plan.reference import SECTIONS, reference
from workflow_scripts.write_reference import PLACE, text

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "rules/schemas/config.schema.yaml").read_text(encoding="utf-8"))


def rows(page, heading):
    """Key -> the other cells of its row, of one section."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in found}


def keys(node, prefix=""):
    for key, inner in node.get("properties", {}).items():
        yield prefix + key
        yield from keys(inner, f"{prefix}{key}.")


def test_the_page_is_what_the_schema_and_the_preset_say():
    assert PLACE.read_text(encoding="utf-8") == text(), "make reference"


@pytest.mark.parametrize(
    ("section", "definition"), [(f"{section}.NAME", name) for section, name in {**SECTIONS, "exports": "export"}.items()]
)
def test_every_key_of_a_stanza_has_a_row_with_a_meaning(section, definition):
    found = rows(text(), f"`{section}`")
    assert set(keys(SCHEMA["$defs"][definition])) <= set(found)
    assert all(cells[0] and cells[2] for cells in found.values())


def test_defaults_are_the_presets_and_name_the_kinds_that_differ():
    datasets, sampler = rows(text(), "`datasets.NAME`"), rows(text(), "A sampler")
    assert datasets["patches.size"][:2] == ["integer, ≥ 8, ≤ 16384", "`256`; **demo**: `64`"]
    assert datasets["patches.resize"][1] == "`null`; `1024` (openearthmap)"
    assert "`1000` (sources.plain, sources.cascade)" in sampler["steps"][1]


def test_a_changed_default_or_description_changes_the_page():
    preset = load_preset(ROOT / "rules/presets", "paper")
    preset["datasets"]["any"]["patches"]["size"] = 512
    assert rows(reference(SCHEMA, preset, preset), "`datasets.NAME`")["patches.size"][1] == "`512`"
    schema = {
        "properties": {"things": {"type": "object", "description": "Things.", "additionalProperties": {"$ref": "#/$defs/thing"}}},
        "$defs": {"thing": {"type": "object", "properties": {"side": {"type": "number", "minimum": 2, "description": "A | B."}}}},
    }
    page = reference(schema, {}, {})
    assert "| `side` | number, ≥ 2 |  | A \\| B. |" in page and "## `things.NAME`" in page

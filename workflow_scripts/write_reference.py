"""Write docs/configuration.md from the schema and the presets. No rule's script, but a command: make reference."""

from pathlib import Path

import yaml

from satsynth.plan.presets import load_preset
from satsynth.plan.reference import reference
from satsynth.runtime.files import write_text

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs/configuration.md"


def text() -> str:
    """The reference as the schema and the preset are now."""
    schema = yaml.safe_load((ROOT / "rules/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    return reference(schema, *(load_preset(ROOT / "rules/presets", name) for name in ("paper", "demo")))


if __name__ == "__main__":
    write_text(PLACE, text())

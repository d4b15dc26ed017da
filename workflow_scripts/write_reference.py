"""Write docs/configuration.md from the schema and the presets. No rule's script, but a command: make reference."""

from pathlib import Path

from satsynth.plan.presets import load_preset, read_yaml
from satsynth.plan.reference import reference
from satsynth.runtime.files import write_text

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs/configuration.md"


def text() -> str:
    """The reference as the schema and the preset are now."""
    schema = read_yaml(ROOT / "rules/schemas/config.schema.yaml")
    return reference(schema, *(load_preset(ROOT / "rules/presets", name) for name in ("paper", "demo")))


if __name__ == "__main__":
    write_text(PLACE, text())

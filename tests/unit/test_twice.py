"""Keys that stand twice in a config."""

import pytest

from satsynth.plan.twice import check_written_once
from satsynth.runtime.errors import ConfigError

CONFIG = """# two classes
datasets:
  town: &town
    label_map:
      "#00AA00": grass
      "#AA0000": road
      {again}: house
    split: {{val: {{tile: ["1", "2"]}}}}
  village: {{<<: *town, root: x}}
list:
  - {{a: 1, {other}: 2}}
"""


def config(tmp_path, again="'7'", other="b", text=CONFIG, name="my.yaml"):
    path = tmp_path / name
    path.write_text(text.format(again=again, other=other), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("parts", "key", "lines"),
    [
        ({"again": "'#00AA00'"}, "datasets.town.label_map.#00AA00", "lines 5 and 7"),
        ({"other": "a"}, "list[0].a", "lines 11 and 11"),
        ({"text": "run: []\nseed: 1\nrun: []\n"}, "run", "lines 1 and 3"),
        ({"text": '{{"run": [],\n"run": []}}'}, "run", "lines 1 and 2"),
    ],
)
def test_a_key_that_stands_twice_is_named_with_its_lines(tmp_path, parts, key, lines):
    path = config(tmp_path, **parts)
    with pytest.raises(ConfigError) as found:
        check_written_once([config(tmp_path, name="sound.yaml"), path])
    assert found.value.subject == key and f"stands twice in {path}, in {lines}, and YAML keeps the last" in str(found.value)
    assert found.value.remedy == "Keep one of the two."


def test_other_configs_pass(tmp_path):
    for parts in ({}, {"text": ""}, {"text": '{{\n\t"tabs": "of JSON"}}'}, {"again": "7"}, {"text": "a: &a {{b: *a}}"}):
        check_written_once([config(tmp_path, **parts)])
    check_written_once([tmp_path / "gone.yaml"])

"""The cluster's profile keeps in step with the rules."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_every_rule_that_takes_an_accelerator_has_the_limits_and_the_partition_of_one():
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL))
    asking = {name for name, body in rules.items() if re.search(r"^ +gpu=", body, re.MULTILINE)}
    assert {"train_generator", "score_pairs"} <= asking
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    given = profile["set-resources"]
    assert set(given) <= set(rules)
    limits = [given["train_generator"], given["sample_pairs"]]
    assert {name for name in asking if given.get(name) not in limits} == set()

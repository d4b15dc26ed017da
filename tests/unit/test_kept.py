"""Digests of code that one process finds and the next takes over."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from satsynth.plan import closure
from satsynth.plan.kept import NAME, PLACE, Kept

SCRIPT = "workflow_scripts/pack_gallery.py"


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The source file of a reader, in a folder where Snakemake has run."""
    monkeypatch.chdir(tmp_path)
    PLACE.mkdir()
    Path("reader.py").write_text("RULES = 1")
    return Path("reader.py")


def taken(reader, name="a.py", content=b"x = 1", fact="new"):
    """What another process with this reader says, after it has kept it."""
    kept = Kept(reader)
    found = kept.fact(name, content, lambda: fact)
    kept.save()
    return found


def test_a_fact_holds_for_one_content_of_its_file_and_one_reader(reader):
    assert taken(reader, fact=["old", 1]) == ["old", 1]
    assert taken(reader) == ["old", 1]
    assert taken(reader, name="b.py") == "new" and taken(reader) == ["old", 1]
    assert taken(reader, content=b"x = 2") == "new"
    assert taken(reader, content=b"x = 1", fact="again") == "again"
    reader.write_text("RULES = 2")
    assert taken(reader, fact="by other rules") == "by other rules"
    assert [path.name for path in PLACE.iterdir()] == [NAME]


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"facts": {}}', '{"reader": 1, "facts": 5}'])
def test_a_broken_file_counts_for_nothing(reader, broken):
    taken(reader, fact="old")
    (PLACE / NAME).write_text(broken)
    assert taken(reader) == "new"
    assert taken(reader, fact="third") == "new"


def test_nothing_is_made_where_snakemake_has_no_records(reader):
    PLACE.rmdir()
    assert taken(reader) == "new" and not PLACE.exists()


def test_digests_of_a_fresh_process_are_those_of_one_that_parses(reader):
    """Kept or parsed, they are the same, and the second process parses nothing."""
    code = (
        "import ast, json; from satsynth.plan import closure; parse, parsed = ast.parse, []\n"
        "ast.parse = lambda *args, **more: (parsed.append(1), parse(*args, **more))[1]\n"
        f"print(json.dumps([closure.digests({SCRIPT!r}), len(parsed)]))"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(closure.ROOT)}
    said = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    (first, parsed), (second, again) = map(json.loads, said)
    assert first == second == closure.digests(SCRIPT) and len(first) > 5
    assert parsed == len(first) and again == 0

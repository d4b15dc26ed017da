"""Digests of code that one process finds and the next takes over."""

import json
import os
import subprocess
import sys

import pytest

from satsynth.plan import closure
from satsynth.plan.kept import NAME, PLACE, Kept

SCRIPT = "workflow_scripts/pack_gallery.py"


READER = b"RULES = 1"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder where Snakemake has run."""
    monkeypatch.chdir(tmp_path)
    PLACE.mkdir()


def taken(reader=READER, name="a.py", content=b"x = 1", fact="new"):
    """What another process with this reader says, after it has kept it."""
    kept = Kept(reader)
    found = kept.fact(name, content, lambda: fact)
    kept.save()
    return found


def test_a_fact_holds_for_one_content_of_its_file_one_reader_and_one_python(monkeypatch):
    assert taken(fact=["old", 1]) == ["old", 1]
    assert taken() == ["old", 1]
    assert taken(name="b.py") == "new" and taken() == ["old", 1]
    assert taken(content=b"x = 2") == "new"
    assert taken(content=b"x = 1", fact="again") == "again"
    assert taken(b"RULES = 2", fact="by other rules") == "by other rules"
    monkeypatch.setattr(sys, "version", "4.0")
    assert taken(b"RULES = 2", fact="of another Python") == "of another Python"
    assert [path.name for path in PLACE.iterdir()] == [NAME]


@pytest.mark.parametrize("facts", [5, [], {"a.py": 5}, {"a.py": []}, {"a.py": ["0" * 64, "of nobody"]}, {}])
def test_a_file_that_was_changed_counts_for_nothing(facts):
    """Not even a fact that could be one: the sum over all of them does not fit."""
    taken(fact="old")
    written = json.loads((PLACE / NAME).read_text())
    (PLACE / NAME).write_text(json.dumps(written | {"facts": facts}))
    assert taken() == "new"
    assert taken(fact="third") == "new"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_a_broken_file_counts_for_nothing(text):
    (PLACE / NAME).write_text(text)
    assert taken() == "new"
    assert taken(fact="third") == "new"


def test_nothing_is_made_where_snakemake_has_no_records():
    PLACE.rmdir()
    assert taken() == "new" and not PLACE.exists()


def test_what_cannot_be_written_is_found_again(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    assert taken() == "new" and not list(PLACE.iterdir())
    monkeypatch.undo()
    assert taken(fact="later") == "later"


def test_digests_of_a_fresh_process_are_those_of_one_that_parses():
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

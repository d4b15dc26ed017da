"""Hostile names through the command line that users type: nothing of them is run, written to or printed as a traceback."""

import copy
import re

import pytest
import yaml
from checkout import Checkout
from mutations import snapshot, stream
from planning import load, planned
from presets import ROOT
from test_config_values import build, mutate
from test_image_files import NAMES, sound

from satsynth.pairs import Store
from satsynth.runtime.errors import SatsynthError
from satsynth.runtime.files import read_json

ROOTED = "$(touch pwned) 'a' \"b\"; touch pwned"
CLASSES = ["$(touch pwned)", "; touch pwned", '"; touch pwned; "', "`touch pwned` $x$ {dataset} <b> é"]


def pwned(checkout) -> list:
    return [path for path in checkout.folder.parent.rglob("*") if path.name.startswith("pwned")]


def own(root: str) -> dict:
    """An overlay of a user's own imagery with a hostile text wherever one is good."""
    stanza = {"root": root, "images": "im $(touch pwned)", "labels": "-masks; touch pwned", "classes": CLASSES, "licence": "$(touch pwned)"}
    data = {"view": "dataset", "size": 64, "title": "`touch pwned`", "datasets": ["mine"]}
    return {"run": ["data"], "datasets": {"mine": stanza}, "experiments": {"data": data}, "report": {"title": "; touch pwned"}}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("hostile") / "a copy; touch pwned" / "satsynth")


def test_hostile_names_are_planned_tiled_and_shown_and_nothing_is_run(checkout):
    """Root, folders, scenes, classes and titles, down to the report; the raw files are as they were, and nothing lies beside them."""
    root = checkout.folder.parent / "data" / ROOTED
    for number, name in enumerate([*NAMES, "$(touch pwned3)"]):
        suffix, content = sound(("png", "jpeg", "tiff")[number % 3], False)[0]
        for part, end, data in (("im $(touch pwned)", suffix, content), ("-masks; touch pwned", ".png", sound("png", True)[0][1])):
            (root / part).mkdir(parents=True, exist_ok=True)
            (root / part / f"{name}{end}").write_bytes(data)
    before = snapshot(root)
    overlay = checkout.overlay("-own $(touch pwned).yaml", own(ROOTED))
    configs = ("configs/tiny.yaml", f"./{overlay}")
    given = {"SATSYNTH_DATA": str(checkout.folder.parent / "data")}
    checkout.run(configs=configs, **given)
    assert snapshot(root) == before and not pwned(checkout)
    results = checkout.folder / "results"
    stores = [Store.open(results / f"mine/64px/real/{split}", verify=True) for split in ("train", "val")]
    assert {scene for store in stores for scene in store.index["scene"]} == {*NAMES, "$(touch pwned3)"}
    assert read_json(results / "mine/classes.json")["names"] == CLASSES
    page = (results / "report/index.html").read_text()
    assert "<b>" not in page.split("<main")[-1] or "&lt;b&gt;" in page
    assert "; touch pwned" in page and (results / "tables/data.tex").is_file()


def test_a_hostile_place_on_the_command_line_is_not_run(checkout):
    """Values of --config reach Snakemake as text; there is no such folder, and the error says so."""
    overlay = checkout.overlay("other.yaml", own(ROOTED))
    said = checkout.run("-n", "--config", "data_root=$(touch pwned)", configs=("configs/tiny.yaml", overlay), check=False)
    assert said.count("datasets.mine.root: there is no folder") == 1 and "Traceback (most recent" not in said, said
    assert not pwned(checkout)


REFUSED = {
    "datasets.$(touch pwned)": {"datasets": {"$(touch pwned)": {"root": "x"}}},
    "experiments.gain.title": {"experiments": {"gain": {"title": "\x1b[2J"}}},
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_refused_config_is_one_message(checkout, key):
    overlay = checkout.overlay("refused.yaml", REFUSED[key])
    done = checkout.run("-n", configs=("configs/tiny.yaml", overlay), check=False)
    assert done.count(f"{key}: ") == 1 and "Traceback" not in done and "\x1b[2J" not in done, done
    assert len(done.strip().splitlines()) <= 6 and not pwned(checkout), done


def test_snakemake_itself_takes_and_refuses_what_the_fuzz_test_says(checkout, monkeypatch):
    """Some of the cases of `test_config_values`, by Snakemake: the library functions called there are what the rules call."""
    monkeypatch.delenv("SATSYNTH_DATA", raising=False)
    monkeypatch.chdir(checkout.folder)
    agreed = {True: 0, False: 0}
    for number in range(60):
        if min(agreed.values()) >= 1:
            break
        config, rng = copy.deepcopy(build("tiny")), stream("agreement", number)
        mutate(config, rng)
        try:
            text = yaml.safe_dump(config, allow_unicode=True)
        except yaml.YAMLError:
            continue
        if yaml.safe_load(text) != config:
            continue
        try:
            planned(*load(config))
            taken = True
        except SatsynthError as error:
            taken, cause = False, str(error)
        if agreed[taken]:
            continue
        # In the place of config.yaml: laid over it, what was deleted would come back.
        (checkout.folder / "config.yaml").write_text(text)
        said = checkout.run("-n", configs=(), check=False)
        assert ("Job stats" in said) == taken, said
        assert taken or (cause.split(": ")[0] in said and "Traceback" not in said), said
        agreed[taken] += 1
    assert agreed == {True: 1, False: 1}


CALLS = re.compile(
    r"\b(?:subprocess|os\.system|os\.popen|os\.exec\w+|os\.spawn\w+|popen|pty|pickle|cPickle|dill|joblib|shelve|marshal|cloudpickle)\b"
    r"|\ballow_pickle\s*=\s*True|\b(?:torch|joblib)\.load\(|\byaml\.(?:load|unsafe_load|full_load)\b|(?<![\w.])(?:eval|exec)\("
    r"|\b(?:tarfile|zipfile|shutil\.unpack_archive|gzip|bz2|lzma)\b"
)
DIRECTIVES = re.compile(CALLS.pattern + r"|^\s*(?:shell|run|notebook|wrapper|cwl|template_engine):|\bshell\(", re.MULTILINE)


def test_no_file_of_the_project_has_a_way_to_a_shell_a_pickle_or_an_archive():
    """Read from the source: no such import, call or directive. torch.load stands once, with weights_only; the ranks of a job are started by
    a list of words, none of which comes from a config, and told what to do through their standard input."""
    found = {}
    for path in [*ROOT.glob("satsynth/**/*.py"), *ROOT.glob("workflow_scripts/*.py"), *ROOT.glob("rules/*.smk"), ROOT / "Snakefile"]:
        pattern = CALLS if path.suffix == ".py" else DIRECTIVES
        for word in pattern.findall(path.read_text()):
            found.setdefault(path.relative_to(ROOT).as_posix(), []).append(word)
    ranks = found.pop("satsynth/runtime/ranks.py")
    assert set(ranks) == {"subprocess"} and found == {"satsynth/segmentation/encoders.py": ["torch.load("]}
    starting = [line for line in (ROOT / "satsynth/runtime/ranks.py").read_text().splitlines() if "subprocess.Popen(" in line]
    assert [line.strip() for line in starting] == [
        'process = subprocess.Popen([sys.executable, "-m", __name__, str(script)], stdin=subprocess.PIPE, env=environment, text=True)'
    ]
    assert 'torch.load(path, map_location="cpu", weights_only=True)' in (ROOT / "satsynth/segmentation/encoders.py").read_text()

"""Hostile names through the command line that users type: nothing of them is run, written to or printed as a traceback."""

import copy
import re
from collections import Counter

import pytest
import yaml
from checkout import Checkout
from dry_runs import dry_run_all
from mutations import snapshot, stream
from planning import load, planned, raw_folders
from presets import ROOT
from test_config_values import build, mutate
from test_image_files import NAMES, sound

from satsynth.pairs import Store
from satsynth.runtime.errors import SatsynthError
from satsynth.runtime.files import read_json

ROOTED = "$(touch pwned) 'a' \"b\"; touch pwned"
CLASSES = ["$(touch pwned)", "; touch pwned", '"; touch pwned; "', "`touch pwned` $x$ {dataset} <b> é"]
AGREEMENT = ("tiny", "tiny_all", "own")  # bases of the configs that Snakemake itself is asked about
AGREEING = 20  # of them that are taken, and that are refused


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


def agreed(kind: str) -> tuple[str, SatsynthError | None] | None:
    """A hostile config as text, and the error that the library refuses it with; None where YAML has no text for it."""
    config, rng = copy.deepcopy(build(kind.split("/")[0])), stream("agreement", kind)
    mutate(config, rng)
    try:
        text = yaml.safe_dump(config, allow_unicode=True)
    except (yaml.YAMLError, RecursionError, UnicodeEncodeError):
        return None
    try:
        if yaml.safe_load(text) != config:
            return None
    except yaml.YAMLError:
        return None
    try:
        loaded = load(config)
        planned(*loaded)
        raw_folders(*loaded)
    except SatsynthError as error:
        return text, error
    return text, None


def test_snakemake_itself_takes_and_refuses_what_the_fuzz_test_says(checkout, monkeypatch):
    """Cases as in `test_config_values`, by dry runs: what `planning.py` calls of the library is what the rules call."""
    monkeypatch.delenv("SATSYNTH_DATA", raising=False)
    chosen, subjects = {True: [], False: []}, Counter()
    for number in range(400):
        if min(map(len, chosen.values())) >= AGREEING:
            break
        place = checkout.folder / f"case-{number}"
        (place / "data/mytown").mkdir(parents=True)
        monkeypatch.chdir(place)
        case = agreed(f"{AGREEMENT[number % len(AGREEMENT)]}/{number}")
        subject = case and case[1] and case[1].subject
        # Refused by many keys, rather than by the few that are hit most often.
        if case is None or len(chosen[case[1] is None]) >= AGREEING or subjects[subject] >= (3 if subject else AGREEING):
            continue
        subjects[subject] += 1
        # In the place of config.yaml: laid over it, what was deleted would come back.
        (place / "config.yaml").write_text(case[0], encoding="utf-8")
        chosen[case[1] is None].append((place, case[1]))
    assert {taken: len(cases) for taken, cases in chosen.items()} == {True: AGREEING, False: AGREEING}
    cases = chosen[True] + chosen[False]
    commands = [checkout.command("-n", "--nolock", "--directory", str(place), configs=()) for place, _ in cases]
    apart = []
    for (place, error), (code, said) in zip(cases, dry_run_all(checkout, commands), strict=True):
        if error is None:
            alike = code == 0 and "Job stats" in said
        else:
            alike = code == 1 and "Job stats" not in said and error.subject in said and "Traceback (most recent" not in said
        if not alike:
            apart.append(f"{place.name}: {error or 'taken'}; Snakemake, status {code}: {said[-1500:]}")
    assert not apart, f"{len(apart)} of {len(cases)} apart:\n" + "\n".join(apart)
    assert not pwned(checkout)


CALLS = re.compile(
    r"\b(?:subprocess|os\.system|os\.popen|os\.exec\w+|os\.spawn\w+|popen|pty|pickle|cPickle|dill|joblib|shelve|marshal|cloudpickle)\b"
    r"|\ballow_pickle\s*=\s*True|\b(?:torch|joblib)\.load\(|\byaml\.(?:load|unsafe_load|full_load)\b|(?<![\w.])(?:eval|exec)\("
    r"|\b(?:tarfile|zipfile|shutil\.unpack_archive|gzip|bz2|lzma)\b"
)
DIRECTIVES = re.compile(CALLS.pattern + r"|^\s*(?:shell|run|notebook|wrapper|cwl|template_engine):|\bshell\(", re.MULTILINE)


def test_no_file_of_the_project_has_a_way_to_a_shell_a_pickle_or_an_archive():
    """Read from the source: no such import, call or directive. torch.load stands once, with weights_only; the ranks of a job are started
    from a list whose only variable is the script of the job's own rule."""
    found = {}
    for path in [*ROOT.glob("satsynth/**/*.py"), *ROOT.glob("workflow_scripts/*.py"), *ROOT.glob("rules/*.smk"), ROOT / "Snakefile"]:
        pattern = CALLS if path.suffix == ".py" else DIRECTIVES
        for word in pattern.findall(path.read_text()):
            found.setdefault(path.relative_to(ROOT).as_posix(), set()).add(word)
    writer = "satsynth/export/archives.py"  # tars are written, and none is opened to be read
    assert found == {"satsynth/segmentation/encoders.py": {"torch.load("}, "satsynth/runtime/ranks.py": {"subprocess"}, writer: {"tarfile"}}
    assert re.findall(r"tarfile\.open\((.*?)\)", (ROOT / writer).read_text()) == ['path, "w", format=tarfile.USTAR_FORMAT']
    assert 'torch.load(path, map_location="cpu", weights_only=True)' in (ROOT / "satsynth/segmentation/encoders.py").read_text()
    ranks = (ROOT / "satsynth/runtime/ranks.py").read_text()
    (started,) = re.findall(r"\bsubprocess\.\w+\(.*", ranks)
    assert started.startswith('subprocess.Popen([sys.executable, "-m", __name__, str(script)],') and "shell" not in ranks
    assert 'script = ROOT / "workflow_scripts" / f"{task.rule}.py"' in ranks

"""Where SATSYNTH_NO_SKIPS is set, a test that is skipped in whatever way fails; only one that needs a CUDA device may be skipped."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
WAYS = {
    "call": "def test_it():\n    pytest.skip('no data')\n",
    "mark": "@pytest.mark.skip(reason='no data')\ndef test_it():\n    pass\n",
    "skipif": "@pytest.mark.skipif(True, reason='no data')\ndef test_it():\n    pass\n",
    "parameter": "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.skip(reason='no data'))])\ndef test_it(x):\n    pass\n",
    "fixture": "@pytest.fixture\ndef data():\n    pytest.skip('no data')\ndef test_it(data):\n    pass\n",
    "teardown": "@pytest.fixture\ndef data():\n    yield\n    pytest.skip('no data')\ndef test_it(data):\n    pass\n",
    "module": "pytest.skip('no data', allow_module_level=True)\ndef test_it():\n    pass\n",
    "pytestmark": "pytestmark = pytest.mark.skip(reason='no data')\ndef test_it():\n    pass\n",
    "importorskip": "pytest.importorskip('a_module_that_is_not_there')\ndef test_it():\n    pass\n",
    "importorskip in a test": "def test_it():\n    pytest.importorskip('a_module_that_is_not_there')\n",
    "class": "@pytest.mark.skip(reason='no data')\nclass TestIt:\n    def test_it(self):\n        pass\n",
    "unittest": "import unittest\nclass TestIt(unittest.TestCase):\n    def test_it(self):\n        self.skipTest('no data')\n",
    "raise": "import unittest\ndef test_it():\n    raise unittest.SkipTest('no data')\n",
    "no parameters": "@pytest.mark.parametrize('x', [])\ndef test_it(x):\n    pass\n",
}


def run(folder, texts, **environment):
    """Exit code and output of one pytest of these modules."""
    shutil.copy(CONFTEST, folder)
    for number, text in enumerate(texts):
        (folder / f"test_{number:02d}.py").write_text(f"import pytest\n{text}")
    kept = {name: value for name, value in os.environ.items() if name not in ("SATSYNTH_NO_SKIPS", "PYTEST_ADDOPTS")}
    options = ["-q", "-rfE", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--rootdir", str(folder), "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)], capture_output=True, text=True, cwd=folder, env=kept | environment
    )
    return done.returncode, done.stdout


def test_every_way_to_skip_fails(tmp_path):
    code, said = run(tmp_path, WAYS.values(), SATSYNTH_NO_SKIPS="1")
    failed = re.findall(r"^(?:FAILED|ERROR) test_(\d+)\.py", said, re.MULTILINE)
    assert code == 1 and sorted(set(failed)) == [f"{number:02d}" for number in range(len(WAYS))], said
    assert re.fullmatch(r"\d+ failed, 1 passed, \d+ errors in .*", said.splitlines()[-1]), said  # passed: what is skipped in its teardown


def test_without_the_variable_they_are_skipped(tmp_path):
    code, said = run(tmp_path, WAYS.values())
    assert code == 0 and re.search(rf"^1 passed, {len(WAYS)} skipped in ", said, re.MULTILINE), said


def test_hardware_that_no_install_can_bring_and_expected_failures_are_no_skips(tmp_path):
    kept = [
        "def test_a():\n    pytest.skip('needs a CUDA device')\n",
        "@pytest.mark.xfail(reason='known')\ndef test_b():\n    assert False\n",
    ]
    code, said = run(tmp_path, kept, SATSYNTH_NO_SKIPS="1")
    assert code == 0 and "1 skipped, 1 xfailed" in said, said


def test_ci_sets_the_variable():
    assert "export SATSYNTH_NO_SKIPS=1" in (CONFTEST.parents[1] / ".ci/run").read_text()

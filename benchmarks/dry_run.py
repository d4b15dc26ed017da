"""Planning a workflow of 5,000 jobs (`snakemake -n`) against a Snakefile that has as many jobs and nothing else.

    .venv/bin/python -m benchmarks.dry_run [--jobs 5000]

CPU time of the whole command on both sides. Ours is the tiny preset with many seeds. Aim: at most 1.5 times.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

from benchmarks.interleaved import AT_MOST, Bench

ROOT = Path(__file__).resolve().parents[1]
AIM = 1.5
EMPTY = """
rule all:
    input: expand("out/{{number}}.txt", number=range({jobs}))
rule make:
    output: "out/{{number}}.txt"
    shell: "touch {{output}}"
"""


def overlay(jobs: int) -> dict:
    """The tiny preset with about so many jobs: nearly all of them train a segmenter or score it, in two arms of every seed."""
    grid = [{"segmenters": ["fpn"], "sources": ["cascade"], "ratios": [0, 1]}]
    return {"preset": "tiny", "run": ["gain"], "experiments": {"gain": {"seeds": list(range(jobs // 4)), "grid": grid}}}


def plan(folder: Path, *arguments: str) -> tuple[float, int]:
    """CPU seconds of a dry run, and the jobs that it plans."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "2", "--directory", str(folder), *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{found.stdout[-2000:]}{found.stderr[-2000:]}")
    counted = re.findall(r"^total\s+(\d+)", found.stdout + found.stderr, re.MULTILINE)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(counted[-1])


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    bench.parser.add_argument("--jobs", type=int, default=5000)
    jobs = 200 if bench.quick else bench.chosen.jobs
    with tempfile.TemporaryDirectory() as place:
        ours, empty = Path(place) / "ours", Path(place) / "empty"
        for folder in (ours, empty):
            folder.mkdir()
        config = ours / "many.yaml"
        config.write_text(yaml.safe_dump(overlay(jobs)))
        ratios, seconds = [], []
        for _ in range(bench.chosen.rounds):
            spent, planned = plan(ours, "--resources", "gpu=4", "--configfile", str(ROOT / "config.yaml"), str(config))
            (empty / "Snakefile").write_text(EMPTY.format(jobs=planned - 1))
            bare, counted = plan(empty, "--snakefile", str(empty / "Snakefile"))
            if counted != planned:
                raise SystemExit(f"the empty Snakefile plans {counted} jobs, ours {planned}.")
            ratios.append(spent / bare)
            seconds.append((spent, bare))
        spent, bare = np.median(seconds, 0)
        detail = {"satsynth, s": spent, "empty Snakefile, s": bare}
        bench.record(f"dry run of {planned} jobs against an empty Snakefile", ratios, aim=AIM, sense=AT_MOST, detail=detail)
    bench.close()


if __name__ == "__main__":
    main()

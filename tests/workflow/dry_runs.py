"""Many dry runs: forks of one process that has imported Snakemake, which takes longer than a plan of the tiny config."""

import multiprocessing
import os
import sys
import tempfile

from checkout import Checkout, count_jobs, surroundings


def plan_all(checkout: Checkout, cases: list[tuple[str, ...]], processes: int = 2) -> list[dict[str, int]]:
    """`Checkout.planned`, without a lock, of every list of configs; each in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli"])
    jobs = [(str(checkout.folder), checkout.command("-n", "--nolock", configs=configs)[3:]) for configs in cases]
    with context.Pool(processes, maxtasksperchild=1) as pool:
        texts = pool.map(_dry_run, jobs, chunksize=1)
    return [count_jobs(text) for text in texts]


def _dry_run(job: tuple[str, list[str]]) -> str:
    folder, arguments = job
    os.chdir(folder)
    environment = surroundings() | {"OMP_NUM_THREADS": "1"}
    os.environ.clear()
    os.environ.update(environment)
    with tempfile.TemporaryFile("w+") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        from snakemake.cli import main

        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        said.seek(0)
        text = said.read()
    assert code == 0, text[-6000:]
    return text

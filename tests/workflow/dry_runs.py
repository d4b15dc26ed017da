"""Many dry runs: forks of one process that has imported Snakemake, which takes longer than a plan of the tiny config."""

import multiprocessing
import os
import sys
import tempfile

from checkout import Checkout, count_jobs, surroundings


def plan_all(checkout: Checkout, cases: list[tuple[str, ...]], processes: int = 2) -> list[dict[str, int]]:
    """`Checkout.planned`, without a lock, of every list of configs; each in a process of its own."""
    found = dry_run_all(checkout, [checkout.command("-n", "--nolock", configs=configs) for configs in cases], processes)
    for code, text in found:
        assert code == 0, text[-6000:]
    return [count_jobs(text) for _, text in found]


def dry_run_all(checkout: Checkout, commands: list[list[str]], processes: int = 2) -> list[tuple[int, str]]:
    """(exit status, what was said) of every command of `Checkout.command`; each in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli"])
    jobs = [(str(checkout.folder), command[3:]) for command in commands]
    with context.Pool(processes, maxtasksperchild=1) as pool:
        return pool.map(_dry_run, jobs, chunksize=1)


def _dry_run(job: tuple[str, list[str]]) -> tuple[int, str]:
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
        return code, said.read()

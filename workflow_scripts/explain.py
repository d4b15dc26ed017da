"""What made a file, and why would it be made again? No rule's script, but a command:

    make explain FILE=results/tables/gain.csv
    make explain FILE=results/tables/gain.csv CONFIG="configs/dubai.yaml my.yaml" DEEP=1

The state of finished jobs says the first; the second needs the rules, which Snakemake is asked for under the configs that are named.
"""

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, RerunTrigger, ResourceSettings

from satsynth.reporting.explanation import again, made
from satsynth.reporting.lineage import Lineage
from satsynth.reporting.reasons import Planned, judge

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "profiles/default/config.yaml"


def planned(targets: Sequence[str], configs: Sequence[Path]) -> tuple[list[Planned], dict]:
    """Every job behind these files as the rules have it now, and the resolved config. Starts nothing and writes no result."""
    profile = yaml.safe_load((ROOT / PROFILE).read_text(encoding="utf-8"))
    triggers = RerunTrigger.parse_choices_set(profile["rerun-triggers"])
    # What follows is what `snakemake --summary` does; jobs and their params have no public name. tests/workflow/test_explain.py notices
    # where a later Snakemake does it in another way.
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        rules = api.workflow(ResourceSettings(cores=os.cpu_count()), ConfigSettings(configfiles=configs), snakefile=ROOT / "Snakefile")
        rules.dag(DAGSettings(targets=set(targets), rerun_triggers=triggers))
        workflow = rules._workflow
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        return list(_jobs(workflow.dag)), workflow.globals["CONFIG"]


def _jobs(dag) -> Iterator[Planned]:
    for job in dag.jobs:
        params = dict(job.params.items())
        yield Planned(
            **{"rule": job.rule.name, "wildcards": dict(job.wildcards.items())},
            **{name: params.get(name) for name in ("cfg", "code", "raw")},
            **{"inputs": tuple(map(str, job.input)), "outputs": tuple(map(str, job.output))},
            **{"runs": bool(dag.needrun(job)), "words": str(dag.reason(job))},
        )


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="make explain", description="What made a file, and why would it be made again?")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a result, such as results/tables/gain.csv")
    parser.add_argument("--configfile", nargs="+", default=[], type=Path, help="overlays, as given to snakemake")
    parser.add_argument("--deep", action="store_true", help="tell every job behind the file, back to the raw data")
    chosen = parser.parse_args(arguments)
    lineage = Lineage(os.environ.get("SATSYNTH_STATE", "results/state"))
    paths = [Path(os.path.relpath(path)).as_posix() for path in chosen.files]
    status = 0
    for path in paths:
        print(f"{path}\n\nWhat made this file?")
        _say(made(path, lineage, deep=chosen.deep))
        configs = ", ".join(["config.yaml", *map(str, chosen.configfile)])
        print(f"\nWhy would this run again? (rules, code and {configs}, as they are now)")
        try:
            jobs, resolved = planned([path], chosen.configfile)
        except Exception as error:  # whatever Snakemake or a config raises, in its own words
            _say([line for line in str(error).splitlines() if line.strip()] or [repr(error)])
            status = 1
        else:
            _say(again(judge(jobs, lineage, resolved)[path]))
        print()
    return status


def _say(told: Sequence[str]) -> None:
    for line in told:
        print(f"  {line}".rstrip())


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a word
    raise SystemExit(main())

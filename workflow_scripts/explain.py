"""What made a file, and why would it be made again? No rule's script, but a command:

    make explain FILE=results/tables/gain.csv
    make explain FILE=results/tables/gain.csv CONFIG="configs/dubai.yaml my.yaml" DEEP=1

The state of finished jobs says the first; the second needs the rules, which Snakemake is asked for under the configs that are named.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from snakemake.api import SnakemakeApi
from snakemake.exceptions import MissingRuleException
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, RerunTrigger, ResourceSettings

from satsynth.reporting.explanation import again, made
from satsynth.reporting.lineage import Lineage
from satsynth.reporting.reasons import Planned, judge

ROOT = Path(__file__).resolve().parents[1]
USAGE = 'make explain FILE=results/tables/gain.csv [CONFIG="my.yaml"] [DEEP=1]'
PROFILE = "profiles/default/config.yaml"


def planned(targets: Sequence[str], configs: Sequence[Path]) -> tuple[list[Planned], dict, dict]:
    """Every job behind these files as the rules have it now, the config with every stanza whole, and as it was written.

    Starts nothing and writes no result.
    """
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
        return list(_jobs(workflow.dag)), workflow.globals["CONFIG"], workflow.globals["config"]


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
    parser.add_argument("files", nargs="*", metavar="FILE", help="a result, such as results/tables/gain.csv")
    parser.add_argument("--configfile", nargs="+", default=[], type=Path, help="overlays, as given to snakemake")
    parser.add_argument("--deep", action="store_true", help="tell every job behind the file, back to the raw data")
    chosen = parser.parse_args(arguments)
    fault = _fault(chosen.files, chosen.configfile)
    if fault:
        print(fault, file=sys.stderr)
        return 2
    lineage = Lineage(os.environ.get("SATSYNTH_STATE", "results/state"))
    paths = [Path(os.path.relpath(path)).as_posix() for path in chosen.files]
    configs = ", ".join(["config.yaml", *map(str, chosen.configfile)])
    status = 0
    for asked in paths:
        path = lineage.spokesman(asked)
        if path != asked:
            print(f"{asked}\n\nA job wrote the folder of this file whole, and beside it {path}; so this is of both.\n")
        print(f"{path}\n\nWhy would this run again? (rules, code and {configs}, as they are now)")
        try:
            jobs, resolved, config = planned([path], chosen.configfile)
        except MissingRuleException:
            _say([f"No rule makes {path} under {configs}; is a CONFIG missing, or misspelt?"])
            status = 1
        except Exception as error:  # whatever Snakemake or a config raises, in its own words
            _say([line for line in str(error).splitlines() if line.strip()] or [repr(error)])
            status = 1
        else:
            _say(again(judge(jobs, lineage, resolved, config=config, asked=[path])[path], deep=chosen.deep))
        print("\nWhat made this file?")
        _say(made(path, lineage, deep=chosen.deep))
        print()
    return status


def _fault(named: Sequence[str], configs: Sequence[Path]) -> str | None:
    """What is wrong with the words of the command, in those of `make`."""
    if not named:
        return f"Name a file: {USAGE}"
    for path in map(Path, named):
        if path.is_dir():
            return f"{path} is a folder. Name a file in it: {USAGE}"
    for path in configs:
        if not path.is_file():
            return f"CONFIG: there is no file {path}. {USAGE}"
    return None


def _say(told: Sequence[str]) -> None:
    for line in told:
        print(f"  {line}".rstrip())


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a word
    raise SystemExit(main())

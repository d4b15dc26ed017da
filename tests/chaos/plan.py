"""Which kills there shall be: a pure function of a seed, a number and the jobs of a clean run."""

import random
import signal
from collections import Counter
from dataclasses import dataclass
from enum import Enum

STAGES = ("tiling", "training", "sampling", "tables")
FEWEST = len(STAGES)  # one inside each stage
INSIDE_EACH, FEWEST_FOR_THAT = 3, 12
START_UPS = 0.25  # share of the kills without a stage that meet a workflow while it plans


class Target(Enum):
    """Whom the signal is sent to."""

    JOB = "job"
    GROUP = "workflow and jobs"  # as a closed terminal, a scheduler's or the kernel's kill of all, or Ctrl-C
    WORKFLOW = "workflow alone"  # its jobs go on without it


ON_JOBS = [
    (Target.JOB, signal.SIGKILL),
    (Target.JOB, signal.SIGTERM),
    (Target.GROUP, signal.SIGKILL),
    (Target.GROUP, signal.SIGINT),
]
ON_WORKFLOWS = [(Target.WORKFLOW, signal.SIGKILL), (Target.WORKFLOW, signal.SIGTERM), (Target.WORKFLOW, signal.SIGINT)]


@dataclass(frozen=True)
class Job:
    """A job of the clean run: its entry in state, and the seconds that it held the entry."""

    rule: str
    wildcards: str
    key: str
    seconds: float

    @property
    def stage(self) -> str | None:
        """One of `STAGES`, or None."""
        if self.rule.startswith("tile_patches"):
            return "tiling"
        if self.rule.startswith("train_"):
            return "training"
        if self.rule.startswith("tabulate_"):
            return "tables"
        return "sampling" if self.rule == "sample_pairs" else None

    def __str__(self) -> str:
        return f"{self.rule} {self.wildcards}".strip()


@dataclass(frozen=True)
class Kill:
    """One kill.

    Args:
        target: whom the signal is sent to.
        signal: which.
        share: how far into the work of the job, or into the start-up of the workflow, as a share of what the clean run took.
        job: the job that must be at work at that moment; None for a kill of a workflow that starts up.
        attempt: for those, the first start of the workflow (counted from 0) that may be killed.
    """

    target: Target
    signal: signal.Signals
    share: float
    job: Job | None = None
    attempt: int = 0


def least_inside(kills: int) -> int:
    """How many kills must fall inside each stage."""
    return INSIDE_EACH if kills >= FEWEST_FOR_THAT else 1


def make(seed: int, kills: int, jobs: list[Job]) -> list[Kill]:
    """The kills of a run; equal for equal arguments.

    Each stage gets its least number, of signals that end the job itself; all others fall on jobs of any rule, on the workflow with or
    without its jobs, at work or at its start.

    Raises:
        ValueError: fewer kills than stages, or a stage without a job.
    """
    if kills < FEWEST:
        raise ValueError(f"{kills} kills cannot fall inside {FEWEST} stages.")
    draw = random.Random(seed)
    jobs = sorted(jobs, key=str)
    planned = []
    for stage in STAGES:
        of_stage = [job for job in jobs if job.stage == stage]
        if not of_stage:
            raise ValueError(f"No job of the clean run belongs to {stage}.")
        planned += [_on_a_job(draw, of_stage, ON_JOBS) for _ in range(least_inside(kills))]
    while len(planned) < kills:
        if draw.random() < START_UPS:
            target, number = draw.choice([(Target.GROUP, signal.SIGKILL), *ON_WORKFLOWS])
            planned.append(Kill(target, number, draw.random(), attempt=draw.randrange(max(1, kills // 2))))
        else:
            planned.append(_on_a_job(draw, jobs, ON_JOBS + ON_WORKFLOWS))
    return planned


def _on_a_job(draw: random.Random, jobs: list[Job], ways: list[tuple[Target, signal.Signals]]) -> Kill:
    target, number = draw.choice(ways)
    return Kill(target, number, draw.uniform(0.02, 0.8), draw.choice(jobs))


def shortfalls(kills: int, inside: Counter) -> dict[str, int]:
    """Stages that had too few kills inside, with how many are missing."""
    least = least_inside(kills)
    return {stage: least - inside[stage] for stage in STAGES if inside[stage] < least}

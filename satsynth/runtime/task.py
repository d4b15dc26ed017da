"""What one job is told, by whoever starts it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Paths = dict[str, Path | list[Path]]


@dataclass(frozen=True)
class Task:
    """One job, as the library needs to know it.

    Args:
        rule: name of the rule.
        wildcards: name -> value.
        input: name -> path, or list of paths.
        output: name -> STAGED path (or list), which the work must write; it is published when the work has ended.
        declared: name -> the path (or list) that the rule declares.
        cfg, code, raw: the rule's params of these names; raw is None where the rule has none.
        threads: number of CPU threads to use.
        gpus: number of leased devices; 0 with device "cpu".
        device: what torch shall use.
        log: the log file, or None.
        work: folder for checkpoints; it outlives a killed job and is empty for new work.
        deadline: moment of the host's monotonic clock, in seconds, at which the work should save and give up, or None.
    """

    rule: str
    wildcards: dict[str, str]
    input: Paths
    output: Paths
    declared: Paths
    cfg: Any
    code: Any
    raw: Any
    threads: int
    gpus: int
    device: Literal["cuda", "cpu"]
    log: Path | None
    work: Path
    deadline: float | None

    @property
    def wall_seconds(self) -> float | None:
        """Seconds from now until the deadline, never below 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @classmethod
    def from_json(cls, value: dict) -> "Task":
        """Read what `dataclasses.asdict` gave once its paths have become text, as a rank of the job is sent it."""
        paths = {key: {name: _path(entry) for name, entry in value[key].items()} for key in ("input", "output", "declared")}
        log = value["log"] and Path(value["log"])
        return cls(**{**value, **paths, "log": log, "work": Path(value["work"])})


def _path(entry: str | list[str]) -> Path | list[Path]:
    return [Path(path) for path in entry] if isinstance(entry, list) else Path(entry)

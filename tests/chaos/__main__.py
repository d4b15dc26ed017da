"""The command line of the chaos run; see the package."""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos import plan, processes
from tests.chaos.disturbance import Disturbance, Done
from tests.chaos.road import Road, differences
from tests.workflow.checkout import kill as end


def main(arguments: list[str] | None = None) -> int:
    """Run it; 0 where every kill hit as planned and nothing differs, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill jobs and workflow at random, and compare with a clean run."
    )
    parser.add_argument("--kills", type=int, default=25, help=f"how many, {plan.FEWEST} at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the plan (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="an empty or new folder that is kept (default: a temporary one)")
    chosen = parser.parse_args(arguments)
    if chosen.kills < plan.FEWEST:
        parser.error(f"--kills {chosen.kills}: one is needed inside each of {', '.join(plan.STAGES)}.")
    # Started in the background, a shell lets us ignore SIGINT, and all our children with us: it would kill nobody.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="satsynth-chaos-") as temporary:
        return _run((chosen.folder or Path(temporary)).resolve(), chosen.kills, chosen.seed)


def _run(folder: Path, kills: int, seed: int) -> int:
    begun = time.monotonic()
    clean = Road(folder / "clean")
    start_up = _undisturbed(clean)
    jobs = clean.jobs()
    undisturbed = time.monotonic() - begun
    _say(f"clean run: {len(jobs)} jobs in {undisturbed:.0f} s")
    other = Road(folder / "disturbed")
    disturbance = Disturbance(other, plan.make(seed, kills, jobs), jobs, seed=seed, start_up=start_up, say=_say)
    disturbance.run()
    found = differences(clean, other)
    for line in found:
        _say(f"difference: {line}")
    short = plan.shortfalls(kills, disturbance.inside())
    for stage, missing in short.items():
        _say(f"{missing} more kills should have fallen inside {stage}")
    if disturbance.outstanding:
        _say(f"{disturbance.outstanding} kills found nothing to hit")
    _say(_table(disturbance.done))
    _say(
        f"seed {seed}: {len(disturbance.done)} kills, {disturbance.starts} starts, {disturbance.unlocks} of them after --unlock, "
        f"{disturbance.missed} kills moved because their job had ended; {len(clean.outputs())} outputs, {len(found)} differences; "
        f"{time.monotonic() - begun:.0f} s, the clean run {undisturbed:.0f} s of it"
    )
    return 1 if found or short or disturbance.outstanding else 0


def _undisturbed(road: Road) -> float:
    """Run the road to its end; seconds until its first job was at work."""
    begun, first = time.monotonic(), None
    with open(road.folder / "workflow.log", "ab") as log:
        process = road.checkout.start(configs=road.configs, output=log)
    try:
        while process.poll() is None:
            if first is None and processes.workers(road.folder):
                first = time.monotonic() - begun
            time.sleep(processes.SECONDS_BETWEEN_LOOKS if first is None else 0.5)
    finally:
        if process.poll() is None:
            end(process)
    if process.returncode or first is None:
        raise SystemExit(f"The clean run failed:\n{(road.folder / 'workflow.log').read_text()[-4000:]}")
    return first


def _table(done: list[Done]) -> str:
    """Kills by rule and signal, as Markdown; inside: those that ended the job itself while it was at work."""
    ways = sorted({(kill.kill.target.value, kill.kill.signal.name) for kill in done})
    counts = Counter((_rule(kill), kill.kill.target.value, kill.kill.signal.name) for kill in done)
    inside = Counter(_rule(kill) for kill in done if kill.inside)
    lines = [
        "| at work | " + " | ".join(f"{name} to the {target}" for target, name in ways) + " | all | inside |",
        "|---" * (len(ways) + 3) + "|",
    ]
    for rule in dict.fromkeys(_rule(kill) for kill in done):
        row = [counts[rule, target, name] for target, name in ways]
        lines.append("| " + " | ".join([rule, *(str(count or "") for count in row), str(sum(row)), str(inside[rule])]) + " |")
    return "\n".join(lines)


def _rule(done: Done) -> str:
    return done.job.rule if done.job else "(workflow starts)"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

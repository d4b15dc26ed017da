"""A run of the road that is killed by plan and started again, until it ends by itself."""

import contextlib
import os
import random
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from tests.chaos import processes
from tests.chaos.plan import Job, Kill, Target
from tests.chaos.road import Road
from tests.workflow.checkout import kill as end

LAST_LINES = 40
IF_ALONE = 0.3  # share of its seconds in which the last job of a stage is killed


@dataclass(frozen=True)
class Done:
    """A kill that hit: when (seconds since the first start), which job was at work (None: the workflow started up), and whether it died
    of the signal while it was at work."""

    kill: Kill
    at: float
    job: Job | None
    inside: bool


class Disturbance:
    """Start the road, kill by plan, start again.

    Args:
        road: nothing of it was run before.
        planned: the kills.
        jobs: the jobs of a clean run; state keys are equal in both.
        seed: of what the plan leaves open: where a kill goes whose job ended before its moment came.
        start_up: seconds that a workflow takes until its first job is at work.
        say: told about every kill.
    """

    def __init__(self, road: Road, planned: list[Kill], jobs: list[Job], *, seed: int, start_up: float, say):
        self._road, self._jobs, self._start_up, self._say = road, {(job.rule, job.key): job for job in jobs}, start_up, say
        self._draw = random.Random(f"{seed} again")
        self._queues: dict[tuple[str, str], list[Kill]] = defaultdict(list)
        self._start_ups: list[Kill] = []
        for kill in planned:
            if kill.job is None:
                self._start_ups.append(kill)
            else:
                self._queues[kill.job.rule, kill.job.key].append(kill)
        self._seen: dict[tuple[int, str], float] = {}  # (process, entry) -> when it was first seen at work
        self._spared: set[tuple[int, str]] = set()  # a process gets one kill of its job's queue, so that orphans live on
        self._process: subprocess.Popen | None = None
        self._begun = time.monotonic()
        self._attempt, self._started, self._asked = -1, 0.0, False
        self._on_workflow: tuple[Kill, Job | None] | None = None  # sent; whether it hit is known when the workflow has ended
        self._lost: list[Kill] = []  # nothing is left that they could hit
        self.done: list[Done] = []
        self.starts = self.unlocks = self.missed = 0

    @property
    def outstanding(self) -> int:
        """Kills that have not been done."""
        return len(self._start_ups) + len(self._lost) + sum(map(len, self._queues.values()))

    def run(self) -> None:
        """Go on until the workflow has ended by itself.

        Raises:
            AssertionError: the workflow failed although nobody had killed anything of it.
        """
        try:
            self._start()
            while True:
                code = self._process.poll()
                if code is not None:
                    self._note_end(code)
                    if code == 0:
                        return
                    assert self._asked, f"the workflow failed by itself (code {code}):\n{self._said()}"
                    self._start()
                self._look()
                time.sleep(processes.SECONDS_BETWEEN_LOOKS)
        finally:
            self._end_all()

    # The workflow ---------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        locks = self._road.folder / ".snakemake/locks"
        if locks.is_dir() and any(locks.iterdir()):
            self._road.run("--unlock")
            self.unlocks += 1
        with open(self._log(), "ab") as log:
            self._process = self._road.checkout.start(configs=self._road.configs, output=log, SATSYNTH_CHECKPOINT_SECONDS="0.5")
        self.starts += 1
        self._attempt += 1
        self._started, self._asked = time.monotonic(), False

    def _log(self):
        return self._road.folder / "workflow.log"

    def _said(self) -> str:
        return "\n".join(self._log().read_text(errors="replace").splitlines()[-LAST_LINES:])

    def _note_end(self, code: int) -> None:
        if self._on_workflow is None:
            return
        (kill, job), self._on_workflow = self._on_workflow, None
        if code == 0:  # it had nothing left to do
            self._again(kill)
        else:
            self._note(kill, job, inside=False)

    def _end_all(self) -> None:
        """Leave no process behind, however the run ended."""
        if self._process is not None and self._process.poll() is None:
            end(self._process)
        for process in processes.of_checkout(self._road.folder):
            with contextlib.suppress(processes.psutil.NoSuchProcess):
                process.kill()

    # Kills ----------------------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        now = time.monotonic()
        for worker in processes.workers(self._road.folder):
            identity, entry = (worker.process.pid, worker.key), (worker.rule, worker.key)
            first = self._seen.setdefault(identity, now)
            queue = self._queues[entry]
            if not queue or identity in self._spared:
                continue
            kill, job = queue[0], self._jobs[entry]
            if self._on_workflow is not None:  # it winds down, and its jobs go on to their ends
                if kill.target is Target.WORKFLOW:
                    continue
                kill = replace(kill, target=Target.JOB)
            if now - first >= kill.share * self._length(job):
                queue.pop(0)
                self._spared.add(identity)
                self._hit(kill, worker, job)
                return
        self._pass_on()
        due = [kill for kill in self._start_ups if kill.attempt <= self._attempt]
        if due and self._on_workflow is None and not self._asked and now - self._started >= due[0].share * self._start_up:
            self._start_ups.remove(due[0])
            self._hit_workflow(due[0], None)

    def _length(self, job: Job) -> float:
        """Seconds that a job is expected to work."""
        seconds = job.seconds
        if job.stage == "training":  # one that resumes has less left to do
            seconds /= 1 + sum(done.job == job for done in self.done)
        if job.stage and len(self._left(job.stage)) == 1:  # nobody could take its kills over
            seconds *= IF_ALONE
        return seconds

    def _left(self, stage: str | None) -> list[Job]:
        """The jobs of a stage, or of none, that have not finished."""
        return [job for job in self._jobs.values() if job.stage == stage and not processes.finished(self._road.folder, job.rule, job.key)]

    def _hit(self, kill: Kill, worker: processes.Worker, job: Job) -> None:
        if kill.target is Target.WORKFLOW:
            self._hit_workflow(kill, job)
            return
        orphan = worker.process.ppid() != self._process.pid
        if kill.target is Target.GROUP and orphan:
            self._again(kill)  # the workflow of its group is gone
            return
        self._asked = self._asked or not orphan
        with contextlib.suppress(processes.psutil.NoSuchProcess):
            if kill.target is Target.JOB:
                worker.process.send_signal(kill.signal)
            else:
                os.killpg(self._process.pid, kill.signal)
        processes.wait_for_end(worker.process)
        if kill.target is Target.GROUP:
            self._process.wait(processes.SECONDS_TO_DIE)
        if processes.finished(self._road.folder, worker.rule, worker.key):
            self._again(kill)  # it had just finished: nothing was hit
        else:
            self._note(kill, job, inside=True)

    def _hit_workflow(self, kill: Kill, job: Job | None) -> None:
        self._asked, self._on_workflow = True, (kill, job)
        with contextlib.suppress(ProcessLookupError):
            if kill.target is Target.GROUP:
                os.killpg(self._process.pid, kill.signal)
            else:
                self._process.send_signal(kill.signal)

    def _pass_on(self) -> None:
        """Kills of jobs that have finished go to other jobs."""
        for (rule, key), queue in list(self._queues.items()):
            if queue and processes.finished(self._road.folder, rule, key):
                self._queues[rule, key] = []
                for kill in queue:
                    self._again(kill)

    def _again(self, kill: Kill) -> None:
        """A kill that hit nothing does not count: another job of the stage gets it, or where there is none, any job that is left."""
        self.missed += 1
        if kill.job is None:
            self._start_ups.append(replace(kill, share=kill.share / 2, attempt=0))
            return
        left = [job for job in self._jobs.values() if not processes.finished(self._road.folder, job.rule, job.key)]
        left = sorted(self._left(kill.job.stage) or left, key=str)
        if left:
            job = self._draw.choice(left)
            self._queues[job.rule, job.key].append(replace(kill, share=kill.share / 2, job=job))
        else:
            self._lost.append(kill)

    def _note(self, kill: Kill, job: Job | None, *, inside: bool) -> None:
        at = time.monotonic() - self._begun
        self.done.append(Done(kill, at, job, inside))
        place = f"{job} at work" if job else "starting up"
        self._say(f"kill {len(self.done)} at {at:.0f} s: {kill.signal.name} to the {kill.target.value}, {place}")

    def inside(self) -> Counter:
        """{stage: kills that ended a job of it at work}."""
        return Counter(done.job.stage for done in self.done if done.inside)

"""A real SLURM on one machine, for tests: a controller, two nodes of four pretend GPUs each, no database, no systemd.

    python tests/cluster/one_machine_slurm.py install            # Debian's packages (root)
    python tests/cluster/one_machine_slurm.py run COMMAND ...    # start SLURM, run COMMAND, stop SLURM (root)

Every daemon is a child of the process that started it and ends with it, however it ends.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "rsync")  # rsync: for the tests of remote storage
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "squeue", "setpriv", "mknod")
NODES = ("pretend1", "pretend2")
GPUS = 4
FIRST_PORT = 16817  # the controller's; the nodes' follow
# The executor's job step clears every SLURM variable before it calls srun, SLURM_CONF too: the clients must find the file here.
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
MUNGE = {"socket": "socket", "key-file": "key", "log-file": "log", "seed-file": "seed", "pid-file": "pid"}
MARK = "# written by one_machine_slurm.py"

CONF = """{mark}
ClusterName=pretend
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation={folder}/controller
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/task_prolog.sh
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
JobRequeue=0
SlurmctldTimeout=30
SlurmdTimeout=20
KillWait=5
MinJobAge=900
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=1-00:00:00 DefMemPerCPU=500 State=UP
"""

# The nodes are one machine under several names: each keeps its device locks for itself, as machines of their own do.
PROLOG = """#!/bin/sh
echo "export SATSYNTH_LOCKS={folder}/locks-$SLURMD_NODENAME"
"""


def hindrance() -> str | None:
    """Why SLURM cannot be started here, or None. A link that a killed run left at /etc/slurm is no hindrance."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    if absent := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"not installed: {', '.join(absent)} (`make test-cluster` installs SLURM where there is apt-get)"
    if SYSTEM_CONF.exists() and MARK not in SYSTEM_CONF.read_text():
        return f"this machine has a SLURM already: {SYSTEM_CONF}"
    with socket.socket() as knock:
        if knock.connect_ex(("127.0.0.1", FIRST_PORT)) == 0:
            return f"port {FIRST_PORT} is in use; do these tests run already?"
    return None


def install() -> None:
    """Install Debian's packages, unless the programs are there."""
    absent = [program for program in (*PROGRAMS, "rsync") if shutil.which(program) is None]
    if not absent:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"{', '.join(absent)} absent: installing SLURM needs root and apt-get.")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
    subprocess.run(
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES], check=True, env=quiet, stdout=subprocess.DEVNULL
    )


def wait_for(what: str, condition, seconds: float = 60) -> None:
    """Wait until `condition()` holds.

    Raises:
        TimeoutError: it did not within `seconds`, which are ample: they end a broken set-up.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.1)


class OneMachineSlurm:
    """Controller, nodes and authentication below `folder`.

    Args:
        folder: an empty folder; removing it removes all that SLURM left, but for the link at /etc/slurm, which `stop` removes.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self.daemons: dict[str, subprocess.Popen] = {}

    # Setting up ----------------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Key, devices and configuration."""
        self.folder.chmod(0o755)
        for part in ("munge", "devices", "controller", *(f"spool-{node}" for node in NODES)):
            (self.folder / part).mkdir(exist_ok=True)
        key = self.folder / "munge/key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        for path in (key, key.parent):
            shutil.chown(path, "munge", "munge")
        # SLURM believes in a GPU whose file is a character device; these are null devices.
        for node in NODES:
            for index in range(GPUS):
                subprocess.run(["mknod", self.folder / f"devices/{node}-{index}", "c", "1", "3"], check=True)
        host = os.uname().nodename.split(".")[0]
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={FIRST_PORT + place} CPUs=8 RealMemory=500000 Gres=gpu:{GPUS}"
            for place, node in enumerate(NODES, start=1)
        ]
        names = ",".join(NODES)
        text = CONF.format(mark=MARK, host=host, port=FIRST_PORT, folder=self.folder, nodes="\n".join(nodes), names=names)
        (self.folder / "slurm.conf").write_text(text)
        gres = [f"NodeName={node} Name=gpu File={self.folder}/devices/{node}-[0-{GPUS - 1}]\n" for node in NODES]
        (self.folder / "gres.conf").write_text("".join(gres))
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        prolog = self.folder / "task_prolog.sh"
        prolog.write_text(PROLOG.format(folder=self.folder))
        prolog.chmod(0o755)
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.unlink(missing_ok=True)  # `hindrance` saw that it is none, or one of ours that a killed run left
        SYSTEM_CONF.symlink_to(self.folder / "slurm.conf")

    def _launch(self, name: str, *command: str | Path, user: str | None = None) -> None:
        identity = ["--reuid", user, "--regid", user, "--clear-groups"] if user else []
        with open(self.folder / f"{name}.out", "ab") as out:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", *identity, "--pdeathsig", "SIGKILL", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")},  # gres.conf is looked for beside it
                start_new_session=True,  # Ctrl-C is for the tests
            )

    # Daemons -------------------------------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        self._launch("slurmctld", "slurmctld", "-D")
        wait_for("slurmctld answers", lambda: _succeeds("scontrol", "ping"))

    def start_node(self, node: str) -> None:
        self._launch(node, "slurmd", "-D", "-N", node)
        # Not by `sinfo -t`: it leaves out a node that is partly used and has just come back. A star stands behind what does not respond.
        wait_for(f"{node} is up", lambda: _says("sinfo", "-h", "-n", node, "-o", "%T") in ("idle", "mixed", "allocated"))

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """Send a daemon ("slurmctld" or a node's name) a signal and wait until it is gone."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        daemon.wait()

    def start(self) -> "OneMachineSlurm":
        try:
            self.write()
            munge = self.folder / "munge"
            own = [f"--{option}={munge}/{file}" for option, file in MUNGE.items()]
            self._launch("munged", "munged", "--foreground", *own, user="munge")
            wait_for("munged answers", lambda: _succeeds("munge", "-n", f"--socket={munge}/socket"))
            self.start_controller()
            for node in NODES:
                self.start_node(node)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Cancel what runs and end the daemons."""
        if "slurmctld" in self.daemons:
            with contextlib.suppress(subprocess.TimeoutExpired, TimeoutError):
                subprocess.run(["scancel", "--user=root"], timeout=20)
                wait_for("the queue is empty", lambda: not self.jobs(), 30)
        for name in reversed(list(self.daemons)):
            self.end(name, signal.SIGKILL)
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink().parent == self.folder:
            SYSTEM_CONF.unlink()

    def lose(self, node: str, job: str) -> None:
        """Let a node die with the job on it: its daemon, the job's steps and all their processes, so that none can say so."""
        self.end(node, signal.SIGKILL)
        steps = [
            process for process in psutil.process_iter(["cmdline"]) if f"slurmstepd: [{job}." in " ".join(process.info["cmdline"] or ())
        ]
        assert steps, f"job {job} has no step"
        dying = [*steps, *(child for step in steps for child in step.children(recursive=True))]
        for process in dying:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(dying)

    def grace(self, minutes: int) -> None:
        """By how much jobs may overrun their time limit."""
        subprocess.run(["scontrol", "update", "PartitionName=all", f"OverTimeLimit={minutes}"], check=True)

    # Asking --------------------------------------------------------------------------------------------------------------------

    def jobs(self, *options: str) -> list[tuple[str, str, str]]:
        """(job id, state, comment) of the jobs that wait or run, or of those that `squeue`'s `options` name."""
        text = subprocess.run(["squeue", "-h", "-o", "%i|%T|%k", *options], stdout=subprocess.PIPE, text=True, timeout=30).stdout
        return [tuple(line.split("|", 2)) for line in text.splitlines()]


def _succeeds(*command: str) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return not subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10).returncode
    return False


def _says(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=10).stdout.strip()


def main() -> None:
    if sys.argv[1:] == ["install"]:
        install()
        return
    if sys.argv[1:2] != ["run"] or not sys.argv[2:]:
        sys.exit(__doc__)
    if reason := hindrance():
        sys.exit(f"SLURM cannot be started: {reason}.")
    with tempfile.TemporaryDirectory(prefix="satsynth-slurm-") as folder:
        slurm = OneMachineSlurm(Path(folder))
        slurm.start()
        try:
            sys.exit(subprocess.run(sys.argv[2:]).returncode)
        finally:
            slurm.stop()


if __name__ == "__main__":
    main()

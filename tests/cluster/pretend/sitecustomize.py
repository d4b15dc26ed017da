"""Pretend GPUs in a job: SLURM and the lease take them for real, torch computes on the CPU. Python imports this file when it starts.

Every lease is noted in the file PRETEND_LEASES: node, device, and since when until when it was held (nanoseconds of the host's clock).
"""

import contextlib
import dataclasses
import os
import time

with contextlib.suppress(ImportError):  # Python's own tools start without the project
    from satsynth.runtime import devices

    real = devices.lease

    @contextlib.contextmanager
    def lease(*arguments, **options):
        with real(*arguments, **options) as held:
            since = time.monotonic_ns()
            try:
                yield dataclasses.replace(held, kind="cpu")
            finally:
                until, node = time.monotonic_ns(), os.environ.get("SLURMD_NODENAME", "none")
                with open(os.environ["PRETEND_LEASES"], "a") as file:  # short lines, appended whole
                    file.writelines(f"{node} {device} {since} {until}\n" for device in held.devices)

    devices.lease = lease

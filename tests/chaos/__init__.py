"""The chaos run: the road while jobs and workflow are killed at random times, and then every output beside a clean run's.

    python -m tests.chaos --kills 25 --seed 0

Linux only (it reads /proc). The plan of kills is a function of the seed and of the jobs; when they fall is a share of what the
clean run took, so the moments are those of the machine, and a kill whose job ended before its moment goes to another job.
"""

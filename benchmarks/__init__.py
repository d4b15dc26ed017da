"""Ratios to other ways of doing the same work: see README.md.

One thread, so that CPU time means work and not waiting. Numeric libraries read these as they are loaded, and this package is loaded before
any of them by `python -m benchmarks.NAME`.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

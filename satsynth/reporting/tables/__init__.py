"""The tables: a module a view, each with `tabulate(runs, real, cfg) -> Table`.

The layouts follow the paper's Table 2 (gain), Table 6 (per_class), supplement A (summary) and section 5.1 (dataset).
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from satsynth.reporting import markup
from satsynth.reporting.runs import Real, Run
from satsynth.runtime.errors import ConfigError


def build(view: str, runs: Sequence[Run], real: Sequence[Real], cfg: dict, out: dict[str, str | Path]) -> markup.Table:
    """Make the table of `view` and write it to `out` (keys csv, md, tex).

    Args:
        view: a module of this package.
        runs: finished runs; the view dataset needs none.
        cfg: title (str); confidence (two-sided level of every interval, in (0, 1)); replicates and seed of the scene bootstrap (int);
            admissions (cards of the admitted shards behind the runs; none where it is left out).

    Raises:
        ConfigError: the view or an arm is unknown, a run has no real data, or a comparison has no run on D.
        StoreError: a run's files do not fit each other or the validation store.
    """
    views = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if view not in views:
        raise ConfigError("view", f"there is no table view '{view}'.", f"Choose one of {', '.join(views)}.")
    table = importlib.import_module(f"{__name__}.{view}").tabulate(runs, real, cfg)
    markup.write(table, out)
    return table

"""The figures: a module a view, each with `compose(cfg, inputs) -> Figure`.

Nothing of the clock, host or matplotlib's settings file gets into a file, so the same inputs give the same bytes.
"""

import importlib.util
import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError

DPI = 150
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
}


def headline(cfg: dict, *facts: str) -> str:
    """The title of a figure and, in brackets, what tells it from others of its view: the dataset, then `facts` (sizes, sources, a table).

    Args:
        cfg: title, dataset (str).
    """
    return f"{cfg['title']} ({', '.join([cfg['dataset'], *facts])})"


def draw(view: str, cfg: dict, inputs: dict[str, list[str | Path]], out_png: str | Path, out_pdf: str | Path) -> None:
    """Compose the figure of `view` and write it as PNG (150 dpi) and PDF (TrueType fonts), byte for byte repeatable.

    Args:
        view: a module of this package that has a `compose`.
        cfg, inputs: what that module's `compose` documents.

    Raises:
        ConfigError: there is no such view.
    """
    module = f"{__name__}.{view}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", view) or importlib.util.find_spec(module) is None:
        raise ConfigError("view", f"there is no figure view '{view}'.", "Name a module of satsynth/reporting/figures.")
    with matplotlib.rc_context():
        # A user's own matplotlibrc must not change what comes out.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = importlib.import_module(module).compose(cfg, {name: [Path(path) for path in paths] for name, paths in inputs.items()})
        _literal(figure)
        for path, kind, metadata in ((out_png, "png", {"Software": None}), (out_pdf, "pdf", {"CreationDate": None})):
            with files.replacing(path) as partial:
                figure.savefig(partial, format=kind, dpi=DPI, metadata=metadata)


def _literal(figure: Figure) -> None:
    """Dollars in titles and names of classes are dollars; only matplotlib's own labels of logarithmic axes are mathematics."""
    for text in figure.findobj(Text):
        if "$" in text.get_text() and not text.get_text().startswith(r"$\mathdefault"):
            text.set_parse_math(False)

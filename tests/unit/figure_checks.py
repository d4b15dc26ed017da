"""What every figure must be: the same bytes twice, and readable."""

import importlib

import matplotlib
import numpy as np
from PIL import Image

from satsynth.reporting import figures


def compose(view, cfg, inputs):
    """The figure as `figures.draw` would compose it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(figures.STYLE)
        return importlib.import_module(f"satsynth.reporting.figures.{view}").compose(cfg, inputs)


def pixels(view, cfg, inputs, folder):
    """What is drawn, (H,W,3) uint8."""
    figures.draw(view, cfg, inputs, folder / "p.png", folder / "p.pdf")
    with Image.open(folder / "p.png") as image:
        return np.asarray(image.convert("RGB"))


def places_of(drawn, cell):
    """The upper left corners (y, x) at which a square cell stands in a drawing, pixel by pixel."""
    side = len(cell)
    corners = np.argwhere((drawn[: 1 - side, : 1 - side] == cell[0, 0]).all(-1))
    return [(y, x) for y, x in corners if (drawn[y : y + side, x : x + side] == cell).all()]


def check_repeatable(view, cfg, inputs, folder):
    """Two draws under different settings of the user's give the same bytes."""
    found = []
    for number in range(2):
        out = folder / f"{number}.png", folder / f"{number}.pdf"
        with matplotlib.rc_context({"font.size": 10 + 9 * number, "lines.linewidth": 1 + number}):
            figures.draw(view, cfg, inputs, *out)
        found.append([path.read_bytes() for path in out])
    assert found[0] == found[1]
    png, pdf = found[0]
    assert b"Software" not in png and b"CreationDate" not in pdf and pdf.startswith(b"%PDF")
    with Image.open(folder / "0.png") as image:
        assert round(image.info["dpi"][0]) == 150


def check_legible(view, cfg, inputs, folder):
    """No text leaves the figure or covers another."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(figures.STYLE)
        figure = compose(view, cfg, inputs)
        figure.set_dpi(150)
        figure.savefig(folder / "x.png", dpi=150)
        boxes = [(text.get_text(), text.get_window_extent()) for text in visible_texts(figure)]
    assert len(boxes) >= 4
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text
    for place, (text, box) in enumerate(boxes):
        assert not [other for other, another in boxes[place + 1 :] if box.padded(-1).overlaps(another.padded(-1))], text


def visible_texts(figure):
    """The texts that are drawn."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            # A shared axis keeps the ticks that lie outside of what is shown, and draws none of them.
            hidden |= {label for tick in ticks if not low <= tick.get_loc() <= high for label in (tick.label1, tick.label2)}
    texts = figure.findobj(matplotlib.text.Text)
    return [text for text in texts if text.get_text().strip() and text.get_visible() and text not in hidden]

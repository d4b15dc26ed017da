"""Colours of curves and markers: Okabe and Ito's palette, told apart with any colour vision, and always paired with a second sign."""

REAL = "#0072B2"
SYNTHETIC = "#D55E00"
ALONE = "#009E73"
CONTROL = "#CC79A7"
REFERENCE = "#555555"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "P", "X", "d")
LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue (ITU-R BT.601)

"""satsynth: joint synthesis of aerial images and label masks, and what it is worth for segmentation."""

__version__ = "0.1.0"

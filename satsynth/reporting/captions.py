"""Words that the page puts beside tables, figures and results: a caption for each view, and the methods."""

CAPTIONS = {
    "gain": "Segmentation of real validation patches after training on real pairs (D), synthetic pairs (D′), and both.",
    "per_class": "IoU of every class on real validation patches.",
    "class_distribution": "Classes in real and synthetic masks: the share of labelled pixels that each class holds, and the share of "
    "pairs in which it occurs. The Jensen–Shannon distance (base 2) is 0 for equal shares and 1 for disjoint ones.",
    "pairs": "Real pairs (left) and synthetic pairs (right), each image above its mask; drawn at random, none chosen by hand.",
    "upscaling": "Synthetic pairs at the low resolution (left) and, in the same places, after super-resolution (right), pixels enlarged.",
    "ratio_curve": "mIoU against the resampling ratio R, mean and standard error over seeds. The dashed line and its band are training "
    "on D alone. A cut axis parts values that lie far from one another.",
    "training_curves": "Training loss against optimiser steps, as recorded (pale) and as a running mean (dark).",
}

METHODS = (
    "Image and mask are learned together. Class ids are written as codes whose channels stand beside the RGB channels, and a diffusion "
    "model G learns such stacks from the real training pairs. New stacks are sampled from noise, and each pixel's code is read as the "
    "class with the nearest code word. Where a cascade is used, a second diffusion model, G_SR, makes a stack of higher resolution from "
    "G's output.",
    "Segmenters are trained on real pairs (D), on synthetic pairs (D′) or on both (D ∪ D′), in which real and synthetic pairs are drawn "
    "equally often, for a number of optimiser steps that does not depend on the amount of synthetic data (the control excepted). The last "
    "weights are scored, never chosen by the score, on real validation patches that no generator and no segmenter was trained on.",
    "Scores come from one confusion matrix over all validation pixels that are labelled: mIoU and F1 are unweighted means over classes. "
    "Two uncertainties are given: over seeds of the segmenter (standard error, and a t-interval of paired differences), and over "
    "validation scenes (a paired bootstrap). The generators were trained once, so neither covers what another training of them would "
    "have given. A gain is called shown only if no interval includes zero.",
)

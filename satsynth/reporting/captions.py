"""Words that the page puts beside tables, figures and results: a caption for each view, and the methods."""

from collections.abc import Collection

from satsynth.reporting.methods import is_admitted

CAPTIONS = {
    "gain": "Segmentation of real validation patches after training on real pairs (D), synthetic pairs (D′), and both; "
    "or on real pairs and those of an augmentation.",
    "per_class": "IoU of every class on real validation patches, and what synthetic pairs change: D ∪ D′ less D, in points; or D "
    "with an augmentation less D, where the head of a column says so.",
    "summary": "What synthetic pairs change for a class, summed up over the segmentation networks.",
    "fidelity": "How close synthetic pairs come to real training patches, in images and in masks, and whether any is a near copy; the "
    "first row of a dataset is its real validation patches.",
    "selection": "Candidates for what to train on, trained on one part of the training scenes (fit) and scored on the other (held): "
    "nothing here has seen a validation patch.",
    "dataset": "The real data: images, patches of each split, and the share of labelled pixels and of patches that every class has.",
    "class_distribution": "Classes in real and synthetic masks: the share of labelled pixels that each class holds, and the share of "
    "pairs in which it occurs. The Jensen–Shannon distance (base 2) is 0 for equal shares and 1 for disjoint ones.",
    "pairs": "Synthetic pairs, or real pairs (left) and synthetic pairs (right), each image above its mask; drawn at random from all "
    "training pairs and all pairs of R = 1, none chosen by hand.",
    "upscaling": "Synthetic pairs at the low resolution (left) and, in the same places, after super-resolution (right), pixels enlarged; "
    "drawn at random from all pairs of R = 1, none chosen by hand.",
    "denoising": "Pairs on their way from noise (left) to what G makes of it (right), evenly in steps of the sampler: the first pairs of "
    "the source, none chosen by hand. Images are the noisy states that the U-Net is given, scaled to x_t = √ᾱ x₀ + √(1−ᾱ) ε and cut to the "
    "range of colours; masks are the noisy label channels of the same states, each pixel read as the class with the nearest code word, so "
    "pure noise gives any class. The last column is the pair itself. The signal-to-noise ratio is that of the sampler's level, log SNR = "
    "ln(ᾱ / (1−ᾱ)).",
    "ratio_curve": "mIoU against the resampling ratio R, mean and standard error over n seeds; dashed is training on D alone, with a band "
    "of its standard error where one network is shown. Several lines stand a little beside one another at each R. Slanted strokes mean "
    "that the vertical axis is cut: the parts above and below have scales of their own, so heights in different parts cannot be compared. "
    "Vertical axes need not start at zero and differ between panels. Hollow grey points, where there are any, are numbers that the paper "
    "states; where it does not state their R (Table 1b on LoveDA and OpenEarthMap), one number stands at every R that it may belong to.",
    "training_curves": "Training loss against optimiser steps, as recorded (pale) and as a running mean (dark).",
    "occurrence": "What synthetic pairs change for a foreground class (IoU of D ∪ D′, or of D with the augmentation that a panel names, "
    "less that of D, in points, at the smallest R) against the share of real training pairs that hold the class. Bars: interval over "
    "validation scenes. Pearson's r is taken from the shares themselves, also where the axis is logarithmic; its interval treats classes "
    "as independent draws. Classes without a difference are left out, and of more than 30 only those with the largest differences are "
    "named. Panels have vertical scales of their own.",
    "class_forest": "IoU of D ∪ D′ (or of D with the augmentation that a heading names) less that of D for every class, in points; behind "
    "each name the share of real training pairs that hold the class. Thick bars: interval over seeds; thin bars: interval over validation "
    "scenes. A point is filled only if there is an interval over seeds and no interval includes zero. No correction is made for the number "
    "of classes, so some points may be filled by chance.",
    "confusion": "Of the pixels of each true class (rows), the percentage predicted as each class (columns), all validation images and "
    "all seeds summed. Blue is good and red is bad: hits stand on the diagonal in blue, mistakes off it in red. Mistakes that round to "
    "zero are left out; a grey row has no true pixel. Where two systems are compared, the last panel is the second less the first: blue "
    "is what got better (more hits, fewer mistakes), red what got worse.",
    "predictions": "Validation images, their true masks and what each segmenter predicts patch by patch, a pair a line; unlabelled pixels "
    "are hatched. The pairs are drawn at random and the same for every segmenter, none chosen by hand.",
    "memorisation": "Distance of every synthetic pair to its nearest real training pair (under flips and rotations), against that of real "
    "patches that nobody trained on: the share of pairs whose distance is at most so large. Where nothing is memorised, about the "
    "expected share of the synthetic pairs lies below the threshold; far more mean copies. Beside them the pairs that come nearest by "
    "the features, the nearest first, turned as they fit best, with the distance in units of the threshold.",
    "contrast": "Real pairs and those of two generators, each image above its mask, drawn at random, none chosen by hand. Below, per "
    "image: mean saturation, mean brightness and RMS contrast (standard deviation of the brightness). Dots are medians, bars quartiles, "
    "lines reach from 5 % to 95 % of the images. Scales begin at zero and differ between the plots.",
    "methods": "The method. Image and bit-coded mask form one stack; a diffusion model G learns such stacks and samples new ones, which "
    "are decoded into synthetic pairs (where there is a cascade, after super-resolution by G_SR); segmenters are trained on real and "
    "synthetic pairs in equal parts and scored on real ones. All scenes are made up.",
}

# Headings of the figures, and their views: first what the pairs are worth.
GROUPS = {
    "What the pairs are worth": ("ratio_curve", "class_forest", "occurrence", "predictions", "confusion"),
    "Pairs and how they are made": ("methods", "pairs", "contrast", "upscaling", "denoising"),
    "How near to the real ones": ("class_distribution", "memorisation"),
    "Training": ("training_curves",),
}
OTHER = "Others"


def group_of(view: str | None) -> str:
    """The heading under which figures of a view stand."""
    return next((heading for heading, views in GROUPS.items() if view in views), OTHER)


METHODS = (
    "SatSynth learns image and mask together. Class ids are written as codes whose channels stand beside the RGB channels, and a diffusion "
    "model G learns such stacks from the real training pairs. New stacks are sampled from noise, and each pixel's code is read as the "
    "class with the nearest code word. Where a cascade is used, a second diffusion model, G_SR, makes a stack of higher resolution from "
    "G's output.",
    "Segmenters are trained on real pairs (D), on synthetic pairs (D′) or on both (D ∪ D′), in which real and synthetic pairs are drawn "
    "equally often where no other share is named, for a number of optimiser steps that does not depend on the amount of synthetic data "
    "(the control excepted). The segmentation networks share one training loop, and training sets are compared on the same seeds. The "
    "last weights are scored, never chosen by the score, on real validation patches that no generator and no segmenter was trained on.",
    "Augmentations (Cutout, CutMix, Copy-Paste), where there are any, take the place of the synthetic pairs: each makes one extra "
    "pair from every real pair beforehand, and the extra pairs are drawn as often as the real ones.",
    "Scores come from one confusion matrix over all validation pixels that are labelled: mIoU and F1 are unweighted means over classes. "
    "Two uncertainties are given: over seeds of the segmenter (standard error, and a t-interval of paired differences), and over "
    "validation scenes (a paired bootstrap). Where the table says so, the seeds vary the generator too; elsewhere it was trained once, and "
    "neither interval covers what another training of it would have given. A gain is called shown only if no interval includes zero.",
    "Patches are predicted one by one, or, for segmenters that are set so, whole scenes by a sliding window whose probabilities are "
    "averaged; a pixel that several patches cover counts once. Panels of predicted masks are made patch by patch for every segmenter.",
)

# Words about what a network, or a maker of pairs, does otherwise than `METHODS` says; by its network, kind or method.
RIVALS = {
    "semgan": "SemGAN is no diffusion model: a generative adversarial network makes an image and its label together from a random latent "
    "code, in one evaluation. As a segmenter it is turned round. For every image an encoder proposes the latent code, an optimisation "
    "brings the image that the generator makes of it nearer to the one that was given, and the label that comes with it is the answer. The "
    "encoder is trained in the loop of the others, around the frozen generator.",
    "segdiff": "SegDiff is a diffusion model of masks alone: it starts from noise, sees the image at every step, and several generations "
    "are combined to one mask.",
    "image_only": "Sources of images alone have no code channels and no masks: they are measured, and nothing is trained on them.",
}

ADMISSION = (
    "Of admitted sources (admitted D′) only those pairs are used whose scores pass: the code margin and the invalid codes of what was "
    "sampled, how far a segmenter that was trained on one part of the training scenes agrees with the labels, pixel by pixel, and the "
    "distance to the nearest real pair. Pixels whose label is doubted are ignored. What the scores are held against was measured on the "
    "other part of the training scenes; no validation patch was looked at."
)

MEASURES = (
    "How near synthetic pairs come to real ones is measured by the features of one segmenter a dataset, the evaluator, which was trained "
    "on real training pairs and then left as it is. FID, sFID and KID are distances between the features of synthetic and of real images; "
    "precision and density say how much of what is made lies among the real images, recall and coverage how much of the real ones is "
    "reached; masks are compared by their classes and by the areas of connected regions. Real validation patches, measured in the same "
    "way, show what the numbers can be at best, and how near a pair must come to a training patch to be called a near copy."
)


def methods(shown: Collection[str], measured: bool) -> list[str]:
    """The methods section: what holds for every page, then what this one holds besides.

    Args:
        shown: networks, kinds of generators, and methods of the tables; see `RIVALS`.
        measured: whether there is a table of view fidelity.
    """
    rivals = [words for name, words in RIVALS.items() if any(each.startswith(name) for each in shown)]
    admitted = [ADMISSION] if any(map(is_admitted, shown)) else []
    return [*METHODS, *admitted, *([" ".join(rivals)] if rivals else []), *([MEASURES] if measured else [])]

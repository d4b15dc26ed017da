"""Segmentation networks trained on real, synthetic and joined pairs, their scores, and measures of synthetic pairs."""

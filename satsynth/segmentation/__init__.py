"""Segmentation networks trained on real, synthetic and joined pairs, and their scores."""

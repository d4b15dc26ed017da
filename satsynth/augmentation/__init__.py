"""Augmentation baselines as sources of pairs: one module a method; a source's `augment` names it.

Each has `OPTIONS`, the names of the options that it reads; `prepare(pairs, cfg) -> dict`, which refuses options that cannot be used and
gives what is worked out once a shard (`augment` finds it as cfg["prepared"]); and `augment(pairs, row, stream, cfg) -> (image, mask,
facts)`, which makes one pair from row `row` of a `satsynth.pairs.View`: image (H,W,3) uint8, mask (H,W) uint8 of class ids and 255, and
facts, a flat dict with the same keys for every pair. All chance comes from `stream`, a numpy generator of that pair alone. `making` writes
shards.
"""

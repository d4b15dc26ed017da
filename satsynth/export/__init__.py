"""A set of pairs as one folder that other people's training code reads: PNG files, a row a pair, a card, and thin descriptors.

`making` writes it, `recipe` says how any pair of it was made, and `regeneration` makes one again.
"""

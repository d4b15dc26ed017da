"""Raw imagery: a reader module per on-disk format, and what they share to become pairs."""

"""Raw imagery: a reader module per on-disk format, and what they share to become pairs.

A reader has three functions, whose `cfg` is the stanza's slice (`satsynth.plan.slices.reader`, with `patches`):

    label_space(cfg) -> LabelSpace            names and display colours of the classes
    labels(cfg) -> tiling.Decoder             `Labels` for masks, `Shapes` for annotations
    scenes(root, split, cfg, findings=STOPPING) -> list[Scene]

`findings` is handed on to `by_key` and `paired`: a tiling stops at the first error, `check_data` collects them all.
"""

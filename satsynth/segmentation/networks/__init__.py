"""One module a network; a config's `network` names it.

Each has `build(cfg, classes) -> nn.Module`, images (N,3,H,W) float32 to logits (N,K,H,W), whose pretrained part, if any, is its attribute
`encoder`; `STRUCTURE`, the keys of the config that `build` reads (they stand in the card of trained weights); and `minimum_multiple`, what
H and W must be multiples of: a number, or a function of the config. In training mode a network may return (logits, further maps of H x W);
it then brings its own `loss(cfg) -> (outputs, masks, step) -> scalar`. A module without `loss` is trained by plain cross-entropy.

A network that is no plain map from images to logits brings `WRAPPER`, a subclass of `satsynth.segmentation.segmenter.Segmenter` that is put
around it, and `training_loss(cfg) -> (segmenter, images, masks, step) -> scalar` in place of `loss`. One that is used with averaged
parameters brings `average(cfg, segmenter)`, which keeps them (see `satsynth.segmentation.segmenter.Average`). One that is trained around
other weights names them in `NEEDS` and has a training of its own. Keys of the config that only prediction reads, such as a sampler, stand
in `INFERENCE` (a tuple of words) and nowhere in `STRUCTURE`: a change of them trains nothing again. `build` finds None where they are not
given, as in training, whose loss must not need them.
"""

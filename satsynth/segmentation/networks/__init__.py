"""One module a network; a config's `network` names it.

Each has `build(cfg, classes) -> nn.Module`, images (N,3,H,W) float32 to logits (N,K,H,W), whose pretrained part, if any, is its attribute
`encoder`; `STRUCTURE`, the keys of the config that `build` reads (they stand in the card of trained weights); and `minimum_multiple`, what
H and W must be multiples of. In training mode a network may return (logits, further maps of H x W); it then brings its own
`loss(cfg) -> (outputs, masks, step) -> scalar`. A module without `loss` is trained by plain cross-entropy.
"""

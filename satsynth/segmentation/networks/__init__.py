"""One module a network; a config's `network` names it.

Each has `build(cfg, classes) -> nn.Module`, images (N,3,H,W) float32 to logits (N,K,H,W), whose pretrained part, if any, is its attribute
`encoder`; and `minimum_multiple`, what H and W must be multiples of.
"""

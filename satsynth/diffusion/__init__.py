"""Diffusion models of pairs, G and G_SR: networks, training, samplers, shards. What a kind of generator offers: `satsynth.kinds`."""

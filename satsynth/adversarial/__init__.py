"""SemGAN (Li et al. 2021): adversarial synthesis of pairs, the paper's baseline beside diffusion."""

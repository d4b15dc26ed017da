"""The config of a SemGAN that trains in seconds."""

SIZE = 16


def config(**changes: object) -> dict:
    cfg = {
        "kind": "semgan",
        "size": SIZE,
        "network": {"latent": 16, "mapping_layers": 2, "channel_base": 128, "max_channels": 16, "label_width": 4},
        "r1": {"weight": 10.0, "every": 4},
        "path_length": {"weight": 2.0, "every": 3, "decay": 0.01, "shrink": 2},
        "feature_matching": 2.0,
        "mixing": 0.9,
        "flips": "d4",
        "precision": "float32",
        "seed": 1,
        "previews": {"count": 3, "sampler": {"truncation": 1.0}},
    }
    training = {"steps": 8, "batch": 4, "learning_rate": 2.0e-3, "betas": [0.0, 0.99], "log_every": 2}
    training["ema"] = {"decay": 0.9, "warmup": False}
    return {**cfg, **changes, "training": {**training, **changes.get("training", {})}}

"""The paper's schedule, and its sampler."""

LINEAR = {"kind": "linear", "steps": 1000, "beta_start": 1e-4, "beta_end": 2e-2, "rescale": False, "zero_terminal_snr": False}
SAMPLER = {
    "method": "ancestral",
    "steps": 1000,
    "spacing": "uniform",
    "rho": 7.0,
    "sigma_min": None,
    "sigma_max": None,
    "eta": 0.0,
    "variance": "fixed_small",
    "clip": True,
}

"""The checks of generators and sources: what would fail in a job, after others have run for days, fails before the first.

How noise levels are spaced, and what a network can be asked to predict, is the library's own business (`satsynth.diffusion`), which raises
the same errors; a config is read without it, because importing torch takes longer than all the rest of the plan. Only whether noise
levels lie within a schedule's is asked of the library itself (`satsynth.diffusion.levels` needs numpy, no torch).
"""

from satsynth.plan.stanzas import known_stanza, nearest
from satsynth.runtime.errors import ConfigError


def check_generator(where: str, generator: dict) -> None:
    """Refuse a resolved generator that cannot be trained, or whose previews cannot be drawn.

    Args:
        where: the stanza's place in the config.
        generator: the whole stanza.

    Raises:
        ConfigError: a key is missing, or values do not fit together.
    """
    for key in ("size", *(("low",) if generator.get("kind") == "upscaler" else ())):
        if key not in generator:
            raise ConfigError(f"{where}.{key}", "this key is missing.", "Give the side of the pairs in pixels.")
    if generator.get("kind") == "semgan" and (generator["size"] < 8 or generator["size"].bit_count() > 1):
        raise ConfigError(f"{where}.size", f"SemGAN cannot make pairs of {generator['size']} px.", "Use a power of two, 8 or more.")
    check_parts(where, generator)
    if "prediction" in generator:
        _check_diffusion(where, generator)
        check_sampler(f"{where}.previews.sampler", generator["previews"]["sampler"], generator)


def check_parts(where: str, stanza: dict) -> None:
    """Refuse a resolved generator or segmenter whose batch cannot be cut into equal parts, or shared equally by its devices.

    Raises:
        ConfigError: see above.
    """
    training, devices = stanza["training"], stanza.get("gpu", 1)
    batch, accumulate = training["batch"], training.get("accumulate", 1)
    if batch % accumulate:
        cause = f"a batch of {batch} cannot be cut into {accumulate} equal parts."
        raise ConfigError(f"{where}.training.accumulate", cause, "Use a divisor of the batch.")
    if batch % (accumulate * devices):
        cause = f"{devices} devices cannot share a batch of {batch} in {accumulate} parts equally."
        raise ConfigError(f"{where}.gpu", cause, "Use a divisor, or change training.batch or training.accumulate.")


def _check_diffusion(where: str, generator: dict) -> None:
    network, prediction = generator["network"], generator["prediction"]
    stride = network["unshuffle"] * 2 ** (len(network["multipliers"]) - 1)
    if generator["size"] % stride:
        cause = f"{generator['size']} px do not divide by {stride} (unshuffle times the halvings of {len(network['multipliers'])} levels)."
        raise ConfigError(f"{where}.network", cause, "Use fewer multipliers, less unshuffle or another size.")
    schedule, silent = generator["schedule"], _silent(generator)
    last = schedule["beta_end"] * (1000 / schedule["steps"] if schedule["rescale"] else 1)
    if schedule["kind"] == "linear" and last >= 1:
        cause = f"the last of {schedule['steps']} betas would be {last:g}; a beta is the share of noise in a step, below 1."
        raise ConfigError(f"{where}.schedule", cause, "Use more steps or smaller betas, or set rescale to false.")
    if silent and prediction == "epsilon":
        cause = "an epsilon network cannot learn x0 from pure noise, which zero terminal SNR asks of it."
        raise ConfigError(f"{where}.schedule.zero_terminal_snr", cause, "Set prediction to v or x0, or zero_terminal_snr to false.")
    if generator["min_snr"] is not None and (prediction == "edm" or silent):
        cause = "EDM brings a weighting of its own, and zero terminal SNR would give the last step no weight."
        raise ConfigError(f"{where}.min_snr", cause, "Set min_snr to null.")


def _silent(generator: dict) -> bool:
    """Whether the last step of the schedule is pure noise."""
    return generator["schedule"]["zero_terminal_snr"]


def check_sampler(where: str, sampler: dict, model: dict) -> None:
    """Refuse a sampler that a diffusion model cannot be sampled with.

    Args:
        where: its place in the config.
        sampler: the resolved sampler.
        model: the resolved generator, or segmenter, that it samples: its `prediction`, `schedule` and, of an upscaler, `condition_noise`.

    Raises:
        ConfigError: the sampler has more steps than the schedule, no range of noise levels, or another condition than the network.
    """
    edm, steps = model["prediction"] == "edm", model["schedule"]["steps"]
    if sampler["spacing"] == "uniform" and sampler["steps"] > steps:
        cause = f"{sampler['steps']} steps do not fit a schedule of {steps}."
        raise ConfigError(f"{where}.steps", cause, f"Give at most {steps}, or karras spacing.")
    if sampler["spacing"] == "uniform" and edm and _silent(model):
        cause = "a schedule of zero terminal SNR begins with pure noise, which a network with EDM preconditioning never sees."
        raise ConfigError(f"{where}.spacing", cause, "Use karras, or set schedule.zero_terminal_snr to false.")
    if sampler["spacing"] == "karras" and edm and None in (sampler["sigma_min"], sampler["sigma_max"]):
        cause = "a network with EDM preconditioning has no range of its own."
        raise ConfigError(f"{where}.sigma_min", cause, "Give sigma_min and sigma_max; Karras et al. have 0.002 and 80.")
    if sampler["spacing"] == "karras":
        _check_range(where, sampler, model)
    if model.get("low") and (sampler["condition_level"] is None) != (model["condition_noise"] is None):
        trained = "without" if model["condition_noise"] is None else "with"
        cause = f"{sampler['condition_level']} is given to a network that is trained {trained} noise on its condition (condition_noise)."
        remedy = "Use null." if trained == "without" else "Give a share of the steps, such as 0.02."
        raise ConfigError(f"{where}.condition_level", cause, remedy)


def _check_range(where: str, sampler: dict, model: dict) -> None:
    low, high = sampler["sigma_min"], sampler["sigma_max"]
    if None not in (low, high) and low >= high:
        raise ConfigError(
            f"{where}.sigma_min", f"{low:g} to {high:g} is no range of noise levels.", "Give a smaller sigma_min or a larger sigma_max."
        )
    if model["prediction"] == "edm" or (low is None and high is None):
        return
    from satsynth.diffusion.levels import sigma_grid
    from satsynth.diffusion.schedule import make_schedule

    try:
        sigma_grid(sampler, make_schedule(model["schedule"]), model["prediction"])
    except ConfigError as error:
        raise ConfigError(f"{where}.sigma_min", error.cause, error.remedy) from error


def check_source(where: str, source: dict, generators: dict) -> None:
    """Refuse a resolved source whose generators cannot be chained or sampled.

    Args:
        where: the stanza's place in the config.
        source: the whole stanza.
        generators: every resolved generator.

    Raises:
        ConfigError: a key is missing, a generator is not there or does not follow the other, or a sampler does not fit its network.
    """
    if "augment" in source:
        if "size" not in source:
            raise ConfigError(f"{where}.size", "this key is missing.", "Give the side of the pairs that are augmented, in pixels.")
        return
    if "generator" not in source:
        raise ConfigError(f"{where}.generator", "this key is missing.", nearest("", generators))
    first = known_stanza(f"{where}.generator", source["generator"], generators, "generator")
    if "low" in first:
        raise ConfigError(f"{where}.generator", f"'{source['generator']}' is an upscaler.", "Begin with a generator, then the upscaler.")
    if "prediction" in first:
        check_sampler(f"{where}.sampler", source["sampler"], first)
    if source.get("then"):
        _check_chain(where, source, first, generators)


def _check_chain(where: str, source: dict, first: dict, generators: dict) -> None:
    """That the second generator of a source enlarges what the first one makes."""
    if first["kind"] == "semgan":
        cause = f"'{source['generator']}' is a SemGAN, which makes pairs at full size, in no code that an upscaler reads."
        raise ConfigError(f"{where}.then", cause, "Leave it out, and train the generator at the size that you need.")
    second = known_stanza(f"{where}.then", source["then"], generators, "generator")
    if "low" not in second:
        raise ConfigError(f"{where}.then", f"'{source['then']}' is no upscaler.", "Name a generator of kind upscaler, or leave `then` out.")
    if second["split"] != first["split"]:
        cause = f"'{source['then']}' is trained on {second['split']}, but '{source['generator']}' on {first['split']}."
        raise ConfigError(f"{where}.then", cause, f"Chain generators of one split: {source['then']} with split: {first['split']}.")
    if second["low"] != first["size"]:
        cause = f"'{source['then']}' enlarges pairs of {second['low']} px, but '{source['generator']}' makes {first['size']} px."
        raise ConfigError(f"{where}.then", cause, "Chain generators whose sizes meet.")
    if second["codes"] != first["codes"]:
        cause = f"'{source['then']}' reads {second['codes']}, but '{source['generator']}' makes {first['codes']}."
        raise ConfigError(f"{where}.then", cause, "Chain generators of the same codes.")
    check_sampler(f"{where}.then_sampler", source["then_sampler"], second)

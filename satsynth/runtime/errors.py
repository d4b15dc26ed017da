"""The errors that a user can meet: each names the thing, the cause and the remedy."""


class SatsynthError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        subject: the file, config key or job concerned, as the user would write it.
        cause: what is wrong with it, in one sentence.
        remedy: what to do about it, in one sentence.
    """

    def __init__(self, subject: object, cause: str, remedy: str):
        self.subject, self.cause, self.remedy = str(subject), cause, remedy
        super().__init__(f"{subject}: {cause} {remedy}")


class ConfigError(SatsynthError):
    """A config value that cannot be used; the subject is its dotted key."""


class DataError(SatsynthError):
    """Raw imagery or labels that cannot be read or do not fit together."""


class CardError(SatsynthError, ValueError):
    """A JSON file of a finished job that cannot be read, whatever it is the card of."""


class StoreError(SatsynthError):
    """A pair store that is half-written, damaged or of another shape than expected."""


class WeightsError(SatsynthError):
    """Weights that are missing, damaged or made for another network."""


class TrainingError(SatsynthError):
    """A training that cannot go on (a loss that is not finite)."""


class BudgetError(SatsynthError):
    """Work that saved what it had and stopped, because the job's time is nearly over."""


class MeasureError(SatsynthError):
    """Features, probabilities or masks that a measure is not defined for."""


class DeviceError(SatsynthError):
    """Accelerators that cannot be leased."""


class DiskError(SatsynthError):
    """A file that could not be written whole."""

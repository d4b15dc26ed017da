"""Work that a thread does ahead, while the device computes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Ahead(Generic[Value]):
    """A function whose next value is made in a thread while the present one is used; the values are the same.

    Args:
        make: a function of its arguments alone, called from one thread at a time.
    """

    def __init__(self, make: Callable[..., Value]):
        self._make = make
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._foreseen: tuple | None = None
        self._coming: Future[Value] | None = None

    def take(self, wanted: tuple, following: tuple) -> Value:
        """`make(*wanted)`, waited for where it was begun before; then `make(*following)` is begun.

        Raises:
            Exception: what `make` raised for `wanted`; what it raises for a value that is never asked for is not heard of.
        """
        coming = self._coming if wanted == self._foreseen else self._thread.submit(self._make, *wanted)
        value = coming.result()
        self._foreseen, self._coming = following, self._thread.submit(self._make, *following)
        return value

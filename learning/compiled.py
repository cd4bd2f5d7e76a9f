"""Loops over candidates as machine code. The one file that knows numba.

NumPy calls on some thousand candidates cost as much for being called, and for writing down what lies between them, as
for what they compute. Where a request spends its time, one loop does it instead: compiled when its module is imported,
which takes some six seconds for all the first time; what comes of it is kept beside the source, or in the user's cache
folder.

A compiled function takes numbers and arrays of exactly the types that it names: C-contiguous, and never read-only. It
looks at nothing but these and its own file: what was compiled is kept until that changes, and whenever this file or a
NUMBA_ variable does, it is to be deleted (`make clean`). Places are not checked against an array's end; they are with
NUMBA_BOUNDSCHECK=1 and a NUMBA_CACHE_DIR of its own, as tests have it.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., Any])

ORDER_IS_FREE = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be added up in any order, or no loop over floats would use the processor's vectors: on processors of another
kind they may differ in the last bits. What is not finite stays so, as features are checked for it."""


def compiled(arguments: str) -> Callable[[Loop], Loop]:
    """Compiles a function for arguments of these types, `(int64[::1], float32)` for example."""

    def decorated(loop: Loop) -> Loop:
        try:
            return cast(Loop, _compiled(arguments, loop, cached=True))
        except (RuntimeError, OSError):  # no folder that may be written to: it is compiled at each start
            return cast(Loop, _compiled(arguments, loop, cached=False))

    return decorated


def _compiled(arguments: str, loop: Loop, cached: bool) -> Any:  # noqa: ANN401
    return njit(arguments, cache=cached, fastmath=ORDER_IS_FREE, error_model="numpy")(loop)

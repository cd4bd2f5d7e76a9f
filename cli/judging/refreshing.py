"""The sequence model in a backtest: trained on what has been seen so far, and again every so many events."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from cli.judging.world import World
from domain.interactions import Interaction
from domain.profile import touch_of
from learning.sequence.artefact import Artefact
from learning.sequence.config import SequenceConfig
from learning.signals import pulls

Say = Callable[[str], None]


class SequenceRefresh:
    """Keeps each user's sequence and trains on all of them.

    Attributes:
        seconds: what each training took.
    """

    def __init__(self, first: int, every: int, config: SequenceConfig, say: Say) -> None:
        self._next, self._every = first, every
        self._config = config
        self._say = say
        self._rows: dict[str, list[int]] = defaultdict(list)
        self._times: dict[str, list[int]] = defaultdict(list)
        self._artefact: Artefact | None = None
        self.seconds: list[float] = []

    def note(self, world: World, interactions: Sequence[Interaction]) -> None:
        """Takes events into the sequences."""
        for one in interactions:
            row = world.model.catalogue.rows.get(one.item_id)
            if row is not None and pulls(touch_of(one, 0), world.model.types):
                self._rows[one.user_id].append(row)
                self._times[one.user_id].append(one.time_ms)

    def advance(self, world: World, seen: int) -> None:
        """Trains and swaps the model if its time has come."""
        if seen < self._next:
            return
        self._next = seen + self._every
        self.train(world)

    def train_anew(self, world: World, width: int) -> None:
        """Trains a model of this width on everything seen so far, from nothing, and makes it active."""
        self._config = msgspec.structs.replace(self._config, width=width)
        self._artefact = None
        self.train(world)

    def train(self, world: World) -> None:
        """Trains on everything seen so far, from the last model if there is one, and makes it active."""
        from learning.sequence.training import train  # noqa: PLC0415 - torch takes seconds; most commands need none

        catalogue, started = world.model.catalogue, perf_counter()
        try:
            trained = train(
                self.sequences(),
                catalogue.vectors[: len(catalogue)],
                catalogue.ids,
                self._config,
                start_from=self._artefact,
            )
        except (ValueError, ArithmeticError) as error:  # nobody touched two items yet; or training diverged
            self._say(f"sequence model not trained, the last one stays: {error}")
            return
        self._artefact = trained.artefact
        latest = max(times[-1] for times in self._times.values())
        world.put_model("sequence", trained.artefact.to_bytes(), latest + len(self.seconds))
        self.seconds.append(perf_counter() - started)
        self._say(f"sequence model trained in {self.seconds[-1]:.1f} s")

    def sequences(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Each user's rows and times, ascending in time."""
        return [(np.array(rows, np.int64), np.array(self._times[user], np.int64)) for user, rows in self._rows.items()]

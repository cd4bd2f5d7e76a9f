"""What a snapshot says of itself, and whether this replica can use it."""

import msgspec

from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, STAGES
from learning.signals_record import SHAPE
from serving.read_model import ReadModel
from serving.snapshot.place import Fault, Place

FORMAT = 4


class Told(msgspec.Struct, frozen=True):
    """The shape that writer and reader must share, and where the writer stood.

    Attributes:
        format: of the files.
        dimension, model_version: width of the text vectors, and which encoder made them.
        signals: the shape that shares are written in, and the constants that they are kept by.
        models: the active version of each model.
        place: how far it had read.
    """

    format: int
    dimension: int
    model_version: str | None
    signals: list[float]
    models: dict[str, str]
    place: Place


def told_of(model: ReadModel, place: Place) -> Told:
    """Returns what a snapshot of a read model says, taken at this place."""
    signals = [float(one) for one in (SHAPE, *POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, *STAGES)]
    catalogue = model.catalogue
    return Told(FORMAT, catalogue.index.dimension, catalogue.model_version, signals, model.models.versions(), place)


def is_news(told: Told, before: Told) -> bool:
    """Whether a snapshot would differ in more than the moment up to which it is right."""
    same_moment = msgspec.structs.replace(told.place, current_ms=before.place.current_ms)
    return msgspec.structs.replace(told, place=same_moment) != before


def misfit(told: Told, model: ReadModel, own_version: str | None) -> Fault | None:
    """Returns why a replica of this shape cannot use a snapshot; `own_version` is its encoder's, None without one."""
    own = told_of(model, told.place)
    if told.format != FORMAT:
        return Fault("format", f"format {told.format}; this version reads {FORMAT}")
    if (told.dimension, told.signals) != (own.dimension, own.signals):
        return Fault("settings", "its vectors or signals are of another shape")
    if own_version not in (None, told.model_version):
        return Fault("settings", f"its texts were embedded by {told.model_version}, not {own_version}")
    return None

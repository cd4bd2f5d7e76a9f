"""The item: what can be recommended. The contract of the `items` topic; a null value deletes."""

from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from domain.records import checked_id, convert, decode, epoch_ms

_Label = Annotated[str, Meta(min_length=1, max_length=128)]
_Time = int | float | str


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be recommended. Times are read like an event's and kept as epoch milliseconds."""

    item_id: Annotated[str, Meta(min_length=1, max_length=128)]
    title: Annotated[str, Meta(max_length=1_000)] = ""
    description: Annotated[str, Meta(max_length=20_000)] = ""
    categories: Annotated[list[_Label], Meta(max_length=32)] = []
    tags: Annotated[list[_Label], Meta(max_length=64)] = []
    attributes: Annotated[
        dict[_Label, Annotated[str, Meta(max_length=1_000)] | float | bool | None], Meta(max_length=64)
    ] = {}
    price: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    available: bool = True
    published_at: _Time | None = None
    expires_at: _Time | None = None

    def __post_init__(self) -> None:
        checked_id("item_id", self.item_id)
        for field in ("published_at", "expires_at"):
            moment = getattr(self, field)
            if moment is not None:
                force_setattr(self, field, epoch_ms(field, moment))

    def text(self) -> str:
        """What the text encoder reads: title, categories, tags and description, the weightiest first.

        The empty string if the item has none of them; such an item is recommended by behaviour alone.
        """
        parts = (self.title, ", ".join(self.categories), ", ".join(self.tags), self.description)
        return ". ".join(part.strip() for part in parts if part.strip())


def decode_item(raw: bytes | str) -> Item:
    """Decodes an item from JSON.

    Raises:
        MalformedEvent: naming the field and the value.
    """
    return decode(raw, Item)


def convert_item(value: object) -> Item:
    """Checks a decoded JSON value as `decode_item` does raw JSON."""
    return convert(value, Item)

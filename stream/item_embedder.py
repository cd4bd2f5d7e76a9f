"""Which items of a batch need the transformer, and their embeddings. No Kafka in here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.codecs import pack
from domain.errors import EventError, MalformedEvent, without_frames
from domain.items import Item, decode_item
from domain.log_reader import Record
from embeddings.encoder import TextEncoder
from embeddings.item_embedding import from_vector, text_hash


@dataclass
class ItemBatch:
    """The items of a batch, each id once, the newest record's; `deleted` ids had a null value last."""

    changed: dict[str, Item] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    refused: list[tuple[Record, EventError]] = field(default_factory=list)


def read_items(records: Sequence[Record]) -> ItemBatch:
    """Decodes a partition's item records, in offset order."""
    batch = ItemBatch()
    for record in records:
        try:
            item_id, item = _decoded(record)
        except EventError as error:
            batch.refused.append((record, without_frames(error)))
            continue
        batch.changed.pop(item_id, None)
        batch.deleted.discard(item_id)
        if item is None:
            batch.deleted.add(item_id)
        else:
            batch.changed[item_id] = item
    return batch


def needs_embedding(items: dict[str, Item], known: dict[str, bytes], model_version: str) -> list[Item]:
    """Returns the items whose text, or the model, differs from what `known` says has been embedded."""
    return [one for one in items.values() if known.get(one.item_id) != text_hash(model_version, one.text())]


def embed(encoder: TextEncoder, items: Sequence[Item]) -> dict[str, bytes]:
    """Returns the encoded `item-embeddings` values of items; one without text gets an empty vector."""
    texts = [item.text() for item in items]
    vectors = encoder.encode([text for text in texts if text])
    rows = iter(vectors)
    return {
        item.item_id: pack(from_vector(encoder.version, text, next(rows) if text else None))
        for item, text in zip(items, texts, strict=True)
    }


def _decoded(record: Record) -> tuple[str, Item | None]:
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError:
        raise MalformedEvent(f"item_id: the record's key is {record.key!r}, which is not UTF-8") from None
    if record.value is None:
        if not key:
            raise MalformedEvent("item_id: a deletion needs the item's id as its key")
        return key, None
    item = decode_item(record.value)
    if key != item.item_id:
        raise MalformedEvent(f"item_id: the record's key is {key!r} but item_id is {item.item_id!r}")
    return key, item

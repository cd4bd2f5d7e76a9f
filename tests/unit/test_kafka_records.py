"""The records that our consumer makes of Kafka's batches have all that the worker looks at."""

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

import stream.batching  # noqa: F401 - what makes the records so
from domain.log_reader import LogRecord

UNCOMPRESSED, ZSTD = 0, 4


def read(codec: int) -> list[LogRecord]:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 16)
    builder.append(0, 1_000, b"ann", b"{}", [("freshet-merged-from", b"guest"), ("other", b"")])
    builder.append(1, 1_007, None, None, [])
    raw = (40).to_bytes(8, "big") + bytes(builder.build())[8:]  # as a broker does, which knows the offset
    place = TopicPartition("interactions", 3)
    return list(PartitionRecords(place, MemoryRecords(raw), [], 40, None, None, True, 0))


def test_a_record_is_read_with_all_that_the_worker_looks_at():
    headers = (("freshet-merged-from", b"guest"), ("other", b""))
    for codec in (UNCOMPRESSED, ZSTD):
        assert read(codec) == [
            LogRecord("interactions", 3, 40, 1_000, b"ann", b"{}", headers),
            LogRecord("interactions", 3, 41, 1_007, None, None, ()),
        ]

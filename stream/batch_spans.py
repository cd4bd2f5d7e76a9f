"""The spans of one batch: one for each trace that one of its records comes with. Empty where nobody traces."""

from collections.abc import Sequence

from domain.log_reader import Record
from stream.dead_letters import Refused
from tracing import Span, Tracer, headers_of, parents_of


class BatchSpans:
    """Goes on with the traces of a batch; each goes on from here with what its record's key gives rise to."""

    def __init__(self, tracer: Tracer | None, records: Sequence[Record]) -> None:
        self._spans: dict[bytes | None, list[tuple[int, Span]]] = {}
        if tracer is None:
            return
        for record in records:
            for parent in parents_of(record.headers) if record.headers else ():
                key = (record.key or b"").decode("utf-8", "replace")
                span = tracer.start(f"process {record.topic}", "consumer", parent, record.topic, key)
                self._spans.setdefault(record.key, []).append((record.offset, span))

    def headers(self, key: str) -> Sequence[tuple[str, bytes]]:
        """Returns the headers of what is written under a key."""
        return headers_of([span for _, span in self._spans.get(key.encode(), ())]) if self._spans else ()

    def refuse(self, refused: Refused) -> None:
        """Ends the traces of records that could not be used."""
        for record, error in refused if self._spans else ():
            spans = self._spans.get(record.key, [])
            for span in [span for offset, span in spans if offset == record.offset]:
                span.end(str(error))
            spans[:] = [one for one in spans if one[0] != record.offset]

    def end(self) -> None:
        """Ends the others: what the batch gave rise to is durable."""
        for spans in self._spans.values():
            for _, span in spans:
                span.end()


NO_SPANS = BatchSpans(None, ())

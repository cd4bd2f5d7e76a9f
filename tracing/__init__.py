"""Traces across the Kafka hops: from the sender of an event through the worker into each replica's memory.

Optional (`pip install 'freshet[traces]'`, FRESHET_TRACES). A process that has them switched off holds None in place
of a tracer and imports nothing of OpenTelemetry.
"""

from tracing.tracer import HEADER, Span, Tracer, headers_of, parents_of, tracer_of

__all__ = ["HEADER", "Span", "Tracer", "headers_of", "parents_of", "tracer_of"]

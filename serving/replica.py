"""One replica: its settings, what it holds, and the parts that run beside the API."""

import asyncio
from dataclasses import dataclass

from domain.clock import Clock, system_clock
from domain.garbage import pass_over_what_is_here
from domain.settings import ServingSettings
from domain.topics import EXPOSURES
from embeddings.encoder import TextEncoder
from embeddings.faiss_index import FaissIndex
from serving import metrics
from serving.features import NAMES
from serving.follower import Follower
from serving.from_zero import from_zero
from serving.index_meter import IndexMeter
from serving.intake import Intake
from serving.live_meter import LiveMeter
from serving.log_tail import LogTail
from serving.read_ahead import ReadAhead
from serving.read_model import ReadModel
from serving.side_effects.exposures import ExposureLog
from serving.snapshot.snapshots import Snapshots
from tracing import Tracer, tracer_of


@dataclass
class Replica:
    """What the routes work with. `encoder` is None where /v1/search is switched off."""

    settings: ServingSettings
    model: ReadModel
    follower: Follower
    read_ahead: ReadAhead
    intake: Intake
    exposures: ExposureLog
    encoder: TextEncoder | None
    clock: Clock
    meter: LiveMeter
    tail: LogTail
    index_meter: IndexMeter
    tracer: Tracer | None
    _settling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to follow Kafka, to measure itself and to log exposures."""
        await self.meter.start()
        await self.index_meter.start()
        await self.follower.start()
        await self.read_ahead.start()
        await self.exposures.start()
        self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        await self.follower.ready.wait()
        pass_over_what_is_here()

    async def stop(self) -> None:
        """Stops what `start` began."""
        if self._settling is not None:
            self._settling.cancel()
        await self.read_ahead.stop()
        await self.follower.stop()
        await self.meter.stop()
        await self.index_meter.stop()
        await self.exposures.stop()
        await self.tail.stop()
        await self.intake.stop()
        if self.tracer is not None:
            self.tracer.close()


def build_replica(
    settings: ServingSettings, encoder: TextEncoder | None, dimension: int = 384, clock: Clock = system_clock
) -> Replica:
    """Puts a replica together; nothing connects before `start`.

    Args:
        settings: the replica's settings.
        encoder: reads the texts of /v1/search; its version is the one whose embeddings are followed.
        dimension: width of the embeddings where there is no encoder to say.
        clock: the present.
    """
    index = FaissIndex(encoder.dimension if encoder else dimension, settings.exact_index_below)
    model = ReadModel(settings, index, encoder.version if encoder else None, clock=clock, features=NAMES)
    intake = Intake(settings.kafka_options(), settings.intake_timeout_ms, settings.intake_buffer_bytes)
    exposures = ExposureLog(intake, settings.topic(EXPOSURES))
    snapshots = Snapshots(settings, model, clock) if settings.snapshot_path else None
    follower, meter = Follower(settings, model, snapshots, clock), LiveMeter(model, clock)
    if encoder:
        metrics.model_info.labels("text", encoder.version).set(1)
    from_zero(settings)
    model.tracer = tracer_of(settings, "freshet-serving")
    return Replica(
        settings=settings,
        model=model,
        follower=follower,
        read_ahead=ReadAhead(settings, model, follower.ready),
        intake=intake,
        exposures=exposures,
        encoder=encoder,
        clock=clock,
        meter=meter,
        tail=LogTail(settings, clock),
        index_meter=IndexMeter(model),
        tracer=model.tracer,
    )

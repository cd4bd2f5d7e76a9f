"""What a program of yours imports: `Emitter` sends events to Kafka, `Client` asks the HTTP API.

    from freshet import Client, Emitter

Importing connects to nothing and loads neither the Kafka nor the HTTP library; the first `Emitter` or
`Client` does.
"""

from domain.errors import (
    BrokerUnavailable,
    ConfigError,
    DeliveryError,
    EventError,
    FreshetError,
    ServingError,
    ServingUnavailable,
    TopicError,
)
from domain.interactions import Interaction
from domain.items import Item
from domain.positions import Position
from domain.users import UserChange
from freshet.client import Client
from freshet.emitter import Emitter

__all__ = [
    "BrokerUnavailable",
    "Client",
    "ConfigError",
    "DeliveryError",
    "Emitter",
    "EventError",
    "FreshetError",
    "Interaction",
    "Item",
    "Position",
    "ServingError",
    "ServingUnavailable",
    "TopicError",
    "UserChange",
]

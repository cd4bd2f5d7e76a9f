"""What the owner of one partition knows: its users' profiles and its share of the items' signals."""

from dataclasses import dataclass, field

from domain.codecs import unpack
from domain.profile import EMPTY, Profile
from learning.signals import ItemSignals


@dataclass
class PartitionState:
    """The derived state of one partition of `interactions`.

    Profiles stay encoded: decoded they would take ten times the memory, and a batch decodes each of its
    users once.
    """

    profiles: dict[str, bytes] = field(default_factory=dict)
    signals: dict[str, ItemSignals] = field(default_factory=dict)

    def profile(self, user_id: str) -> Profile:
        """Returns a user's profile; the empty one for a user who is not known."""
        raw = self.profiles.get(user_id)
        return EMPTY if raw is None else unpack(raw, Profile)

    def restore_profile(self, user_id: str, raw: bytes | None) -> bool:
        """Takes a value read from `user-profiles`, unless it is older than the one held; says whether it did."""
        if raw is None:
            self.profiles.pop(user_id, None)
            return True
        taken = unpack(raw, Profile).replaces(self.profile(user_id) if user_id in self.profiles else None)
        if taken:
            self.profiles[user_id] = raw
        return taken

    def restore_signals(self, item_id: str, raw: bytes | None) -> bool:
        """Takes a value read from `item-signals`, unless it is older than the one held; says whether it did."""
        if raw is None:
            self.signals.pop(item_id, None)
            return True
        signals = unpack(raw, ItemSignals)
        held = self.signals.get(item_id)
        taken = held is None or signals.position >= held.position
        if taken:
            self.signals[item_id] = signals
        return taken

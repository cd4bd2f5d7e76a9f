"""What the owner of one partition knows: its users' profiles and its share of the items' signals."""

from dataclasses import dataclass, field

from domain.codecs import unpack
from domain.profile import EMPTY, Profile
from learning.signals import ItemSignals
from learning.signals_record import unpack_share
from stream.profile_draft import Draft, Pulling

HOT_USERS = 1_000
"""Users whose draft stays between batches, some 65 kB each at 200 interactions with usual ids; others' profiles are
split up again."""


@dataclass
class PartitionState:
    """The derived state of one partition of `interactions`.

    Profiles stay encoded: decoded they would take ten times the memory.

    Attributes:
        newest: offset and event id of the newest event that a restored profile remembers; says which log it was.
        changed_to: highest offset of `users` that a restored profile reflects.
        read_to: highest offset of `interactions` that was handled since the state was restored.
    """

    profiles: dict[str, bytes] = field(default_factory=dict)
    signals: dict[str, ItemSignals] = field(default_factory=dict)
    newest: tuple[int, str] | None = None
    changed_to: int = -1
    read_to: int = -1
    _drafts: dict[str, Draft] = field(default_factory=dict, repr=False, compare=False)

    def profile(self, user_id: str) -> Profile:
        """Returns a user's profile; the empty one for a user who is not known."""
        raw = self.profiles.get(user_id)
        return EMPTY if raw is None else unpack(raw, Profile)

    def draft(self, user_id: str, pulling: Pulling) -> Draft:
        """Returns a user's profile to work on; `keep` gives it back. A partition's `pulling` never changes."""
        raw = self.profiles.get(user_id)
        held = self._drafts.pop(user_id, None)
        return held if held is not None and held.raw is raw else Draft(raw, pulling)

    def keep(self, user_id: str, draft: Draft) -> bytes:
        """Takes a draft as the user's profile and returns it encoded."""
        raw = self.profiles[user_id] = draft.pack()
        if draft.is_packed:
            self._drafts[user_id] = draft
            if len(self._drafts) > HOT_USERS:  # the one that was used longest ago goes
                del self._drafts[next(iter(self._drafts))]
        return raw

    def restore_profile(self, user_id: str, raw: bytes | None) -> bool:
        """Takes a value read from `user-profiles`, unless it is older than the one held; says whether it did."""
        if raw is None:
            self.profiles.pop(user_id, None)
            return True
        profile = unpack(raw, Profile)
        taken = profile.replaces(self.profile(user_id) if user_id in self.profiles else None)
        if taken:
            self.profiles[user_id] = raw
        self.changed_to = max(self.changed_to, profile.changes_position)
        if profile.position > (self.newest or (-1, ""))[0] and profile.touches:
            offset, event_id = max((touch.offset, touch.event_id) for touch in profile.touches)
            self.newest = max(self.newest or (-1, ""), (offset, event_id))
        return taken

    def restore_signals(self, item_id: str, raw: bytes | None) -> bool:
        """Takes a value read from `item-signals`, unless it is older than the one held; says whether it did."""
        if raw is None:
            self.signals.pop(item_id, None)
            return True
        signals = unpack_share(raw)
        held = self.signals.get(item_id)
        taken = held is None or signals.position >= held.position
        if taken:
            self.signals[item_id] = signals
        return taken

"""What is said of refused lines: how many for which reason, and where to look."""

from dataclasses import dataclass, field

from domain.errors import EventError

EXAMPLES = 5
"""Line numbers that are listed for each reason."""


@dataclass
class Reason:
    """Lines that are refused for the same fault in the same field; `example` is what the first was told."""

    example: str
    count: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass
class Refusals:
    """Refused lines by reason. Its size is bounded by the number of fields, not of lines."""

    count: int = 0
    reasons: dict[tuple[str, str], Reason] = field(default_factory=dict)

    def add(self, line: int, error: EventError) -> None:
        """Notes a refused line."""
        self.count += 1
        place = str(error).partition(":")[0]
        reason = self.reasons.setdefault((error.reason, place), Reason(str(error)))
        reason.count += 1
        if len(reason.lines) < EXAMPLES:
            reason.lines.append(line)

    def report(self) -> list[str]:
        """One text line for each reason, the most frequent first."""
        ordered = sorted(self.reasons.values(), key=lambda reason: -reason.count)
        return [f"  {one.count:,} x {one.example} ({_places(one)})" for one in ordered]


def _places(reason: Reason) -> str:
    numbers = ", ".join(map(str, reason.lines))
    return f"line{'s' if reason.count > 1 else ''} {numbers}{', …' if reason.count > len(reason.lines) else ''}"

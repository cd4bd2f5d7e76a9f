"""What memory a process takes."""

from pathlib import Path


def memory(pid: int | str = "self") -> tuple[int, int]:
    """Returns a process's resident bytes: its own, and pages of files that it maps."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    own, mapped = (1024 * int(told[name].split()[0]) for name in ("RssAnon", "RssFile"))
    return own, mapped

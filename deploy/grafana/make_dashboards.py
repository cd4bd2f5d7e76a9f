"""Writes dashboards/*.json: python deploy/grafana/make_dashboards.py. A test holds the files to this script.

Grafana reads the files; what they have in common (units, grids, data source, legends) is said once, here.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from panels import Panel, Row
from rows import DASHBOARDS

FOLDER = Path(__file__).parent / "dashboards"


def placed(rows: Sequence[Row]) -> list[Panel]:
    """Returns all panels with their places: six numbers or three graphs side by side."""
    found: list[Panel] = []
    top = 0
    for title, panels in rows:
        if title:
            place = {"x": 0, "y": top, "w": 24, "h": 1}
            found.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
            top += 1
        left = 0
        for one in panels:
            width, height = (4, 4) if one["type"] == "stat" else (8, 8)
            found.append({**one, "gridPos": {"x": left, "y": top, "w": width, "h": height}})
            left += width
            if left == 24 or one is panels[-1]:
                left, top = 0, top + height
    return [{"id": at, **one} for at, one in enumerate(found, 1)]


def dashboard(name: str) -> str:
    """Returns a dashboard's JSON, a panel a line."""
    told = {
        "uid": f"freshet-{name}",
        "title": f"Freshet: {name}",
        "tags": ["freshet"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": ["freshet"], "title": "Freshet", "asDropdown": False}],
    }
    head = json.dumps(told, indent=2)[:-2]
    panels = ",\n".join(f"    {json.dumps(one)}" for one in placed(DASHBOARDS[name]))
    return f'{head},\n  "panels": [\n{panels}\n  ]\n}}\n'


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(dashboard(each))

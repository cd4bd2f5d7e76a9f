"""Measurements, each run as `python -m bench.NAME`: one table on the screen, one file under results/."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the processes of Freshet have it, see cli/__init__.py

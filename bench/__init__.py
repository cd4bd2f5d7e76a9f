"""Measurements, each run as `python -m bench.NAME`: one table on the screen, one file under results/."""

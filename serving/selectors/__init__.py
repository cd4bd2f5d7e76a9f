"""From scored candidates to a slate."""

"""From features to one score a candidate: finite, higher is better, and split into what each feature added."""

"""What happens after a slate is answered: the exposure log and the metrics."""

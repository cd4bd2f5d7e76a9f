"""The judge: a log replayed through the functions that stream and serving run, without Kafka and HTTP between."""

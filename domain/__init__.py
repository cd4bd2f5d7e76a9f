"""What every process must agree on: events, items, profiles, topics, codecs, settings, errors, clock.

Pure: no Kafka, no model, no HTTP, and no clock read inside a function that computes. Every other
package may import this one; this one imports none of them.
"""

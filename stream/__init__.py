"""The stream worker: a Faust application whose thin agents decode, call and write.

interactions ─► profiles and item signals;  users ─► erase, merge, opt out;  items ─► item embeddings.
"""

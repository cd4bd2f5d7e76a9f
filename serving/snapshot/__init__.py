"""A replica's memory on disk: written beside its work, read at its start, given up whenever it is not surely right.

It only saves time. Everything in it can be read again from the topics, and is, if anything is wrong with it.
"""

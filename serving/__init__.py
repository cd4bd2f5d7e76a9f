"""A serving replica: a read model in memory, the request path over it, and the HTTP API in front.

The request path reads: sources, filters, features, scorers, selectors, side_effects, one folder each.
"""

"""Text to vectors to nearest neighbours.

Called by `stream` (which embeds items) and by `learning` and `serving` (which compare them). Knows nothing
of Kafka or HTTP. Shapes in this package and in those above it use the same letters:

N items, U users, B rows of one call (texts or queries), D the dimension of a vector, K results of a search.

Vectors are float32 rows of unit length unless said otherwise, so an inner product is a cosine. Only
similarities leave this package: higher is better.
"""

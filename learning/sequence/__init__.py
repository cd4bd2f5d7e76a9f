"""The sequence model: what a user does next, from what they did last.

A small causal transformer over a user's latest interactions (Kang & McAuley, "Self-Attentive Sequential
Recommendation", 2018). An item's vector is a projection of its text embedding plus a residual of its own,
which is zero for items nobody has touched, so a new item has a vector from its text alone.

`training` needs torch and runs where models are trained; `inference` and `artefact` need NumPy only and run
in every replica. Letters beyond those of `embeddings`: T interactions of one user, oldest first, and M the
width of an item's vector here.
"""

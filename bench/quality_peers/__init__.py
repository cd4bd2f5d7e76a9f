"""What other recommenders reach on a data set: the figures that Freshet's quality stands beside.

    python -m bench.quality_peers FOLDER --protocol prequential --out DIR

Runs in an environment of its own (bench/peers-requirements.txt) and imports nothing else of the project. FOLDER holds
items.jsonl and interactions.jsonl; every interaction counts as a positive, in the order of event_time (ties keep
the file's order). For each event asked about, all items that the user has not touched yet are ranked, and the
rank of the one that came (0 is best) is kept. Equal scores go by decayed popularity, for every peer alike; what
ties then takes its mean place, rounded down the list.

prequential: the last events in time; each is predicted, then learned from: at once by peers that can, at the next
    refit by others, and SASRec is frozen at the start. Histories are live for all.
last-one: the last event of each user, all others learned from; it leaks the future and serves to compare with papers.

DIR gets PROTOCOL.json, and for each peer PROTOCOL-PEER.npz with the arrays event (place in the order of time),
user (id), rank and past (how many items the user had touched before), for paired comparisons. What is there
already for the same data, protocol and code is not measured again. Seconds are CPU seconds of fitting and ranking.
"""

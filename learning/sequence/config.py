"""What the sequence model looks like and how it is trained: one value, carried by every artefact."""

import msgspec


class SequenceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape, regularisation and budget of the sequence model.

    Attributes:
        width: of the transformer; an item's vector is one wider, for its popularity.
        layers: of attention and feed-forward.
        heads: of attention; divides `width`.
        length: the newest interactions that are looked at.
        dropout: share of activations dropped in training.
        residual_dropout: share of items that a training step sees by their text alone.
        shrink: an item with so many interactions uses half of its residual; more uses more.
        weight_decay: pull of all matrices towards zero, decoupled (AdamW).
        learning_rate: of Adam, after a linear warm-up over `warmup` steps.
        warmup: steps.
        averaging: share of the past in the running mean of the weights that is kept as the model.
        batch_events: interactions in one training step.
        epochs: passes over the log, at most.
        patience: evaluations without a better validation nDCG@10 after which training ends.
        validation_share: the newest share of the log that the number of epochs is picked on.
        ahead: so many of the items that came next count as right, not only the very next.
        ahead_decay: each next one counts this much less.
        full_softmax_items: up to so many items the loss runs over all of them, above over a sample.
        negatives: size of that sample.
        finish_epochs: passes over the whole log, the validation share included, after early stopping; at most half
            as many as were best before.
        refresh_steps: gradient steps of a warm start.
        refresh_recent: share of them that goes over what is newer than the earlier artefact.
        seconds: training ends after so long with what it has; the result then depends on the machine.
        seed: of everything random; the same seed, log and number of threads give the same artefact.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    length: int = 50
    dropout: float = 0.2
    residual_dropout: float = 0.1
    shrink: float = 5.0
    weight_decay: float = 0.01
    learning_rate: float = 2e-3
    warmup: int = 50
    averaging: float = 0.98
    batch_events: int = 2048
    epochs: int = 40
    patience: int = 3
    validation_share: float = 0.1
    ahead: int = 4
    ahead_decay: float = 0.5
    full_softmax_items: int = 20_000
    negatives: int = 4096
    finish_epochs: int = 8
    refresh_steps: int = 40
    refresh_recent: float = 0.5
    seconds: float = 600.0
    seed: int = 42

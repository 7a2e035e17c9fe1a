"""From logits to log-probabilities."""

from __future__ import annotations


def log_softmax(logits):
    """Log-probabilities [n, vocab] of logits [n, vocab] (NumPy, float32), shifted by each row's largest in place."""
    import numpy as np  # noqa: PLC0415 - engines that give no log-probabilities need no numpy

    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

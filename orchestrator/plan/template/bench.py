"""TITLE: what of it is measured, and through which of its interfaces.

A template: it computes no model. A step reads all weights, as a real one does; the next id follows from a sum of ids.
"""

import numpy as np

from common.engine import Engine, Loaded
from common.launch import main
from common.tools.logits import certain_of


class Contender(Engine):
    def load(self, job):
        # Replace: load job.model.artefact as job.precision, job.settings and job.threads say.
        self.vocabulary = job.model.vocab_size
        self.weights = np.ones(job.model.parameters, np.float32)
        # Read back from what was loaded, never copied from the job.
        return Loaded(np.__version__, str(self.weights.dtype), self.weights.nbytes, threads=1)

    def generate(self, prompts, new_tokens):
        sums = [sum(prompt) for prompt in prompts]  # [batch]
        for _ in range(new_tokens):
            ids = self._step(sums)  # [batch]
            sums = [total + token for total, token in zip(sums, ids, strict=True)]
            yield ids

    def logprobs(self, tokens):
        sums = [sum(tokens[:end]) for end in range(1, len(tokens))]  # [tokens - 1]
        return certain_of(self._step(sums), self.vocabulary)  # [tokens - 1, vocab]

    def _step(self, sums):
        factor = 31 * int(self.weights.max())
        return [(factor * total + 7) % self.vocabulary for total in sums]


if __name__ == "__main__":
    main(Contender)

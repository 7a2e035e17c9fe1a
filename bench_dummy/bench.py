"""An engine with known delays and tokens, to test the suite. Its faults are in faults.py."""

from bench_dummy.faults import Faults
from bench_dummy.pace import Pace
from common.engine import Engine, Loaded
from common.launch import main
from common.tools.logits import certain_of
from common.tools.sizes import DTYPE_BYTES


class Dummy(Engine):
    def load(self, job):
        self.settings, self.vocabulary, precision = job.settings, job.model.vocab_size, job.precision
        self.faults = Faults(self.settings)
        scheme = job.scheme if precision in ("int8", "int4") else None
        weights = job.model.parameters * DTYPE_BYTES.get(precision, 1)
        return self.faults.in_load(Loaded("1", "float32" if scheme else precision, weights, scheme, job.threads))

    def generate(self, prompts, new_tokens):
        pace, sums = Pace(self.settings), [sum(prompt) for prompt in prompts]  # sums: [batch]
        for step in range(self.faults.steps(new_tokens)):
            self.faults.in_step(step)
            pace.wait()
            ids = [self._next(total) for total in sums]  # ids: [batch]
            sums = [total + token for total, token in zip(sums, ids, strict=True)]
            yield self.faults.handed_over(ids)

    def logprobs(self, tokens):
        return certain_of([self._next(sum(tokens[:end])) for end in range(1, len(tokens))], self.vocabulary)

    def close(self):
        self.faults.in_close()

    def _next(self, total):
        """The token after ids that add up to `total`; the same in every run."""
        return (31 * total + 7) % self.vocabulary


if __name__ == "__main__":
    main(Dummy)

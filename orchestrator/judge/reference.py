"""The float32 results of the reference engine, with which launches are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.judge import quality
from orchestrator.plan.exam import Exam


@dataclass(frozen=True)
class Reference:
    """The reference engine's float32 results for one shape.

    directory:   holds logprobs-<k>.npy: the exam's sequences first, then the generated ones
    prompts:     token ids [count][prompt tokens] of the first row of the first prompts
    generated:   greedy tokens [count][new_tokens] that follow them
    exam:        the sequences whose log-probabilities are kept, empty for all shapes but the first
    answers:     tokens [questions][new tokens] that follow the exam's questions
    vocabulary:  columns of the log-probabilities that count
    """

    directory: Path
    engine: str
    version: str
    prompts: list[list[int]]
    generated: list[list[int]]
    exam: Exam
    answers: list[list[int]]
    vocabulary: int

    def logprobs(self, number: int) -> Any:
        """Log-probabilities of the exam's sequence `number`: [len - 1, vocabulary] float32, mapped.

        Raises BadLogprobs if the file is missing or invalid.
        """
        rows = len(self.exam.sequences[number]) - 1
        return quality.read_logprobs(self.directory / f"logprobs-{number}.npy", rows, self.vocabulary)

    def gap(self, number: int, step: int, token: int) -> float:
        """max log p - log p(token) at `step` of generated sequence `number`, in nats. Raises BadLogprobs."""
        prompt, generated = self.prompts[number], self.generated[number]
        path = self.directory / f"logprobs-{len(self.exam.sequences) + number}.npy"
        row = quality.read_logprobs(path, len(prompt) + len(generated) - 1, self.vocabulary)[len(prompt) - 1 + step]
        return float(row.max() - row[token])

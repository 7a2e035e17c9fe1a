"""The questions and texts by which the quality of a variant is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from orchestrator.models.model import Model
from orchestrator.plan import prompts

TEXT = Path(__file__).with_name("texts") / "heldout.txt"
SEQUENCES, LENGTH = 8, 512  # predictions: 8 x 512, from 513 tokens each
QUESTIONS, ANSWER_TOKENS = 5, 48


@dataclass(frozen=True)
class Exam:
    """What one launch of each variant is examined with. `is_text`: false for random ids, which have no perplexity."""

    sequences: list[list[int]]
    questions: list[list[int]]
    question_texts: list[str]
    answer_tokens: int
    is_text: bool
    tokenizer: Path | None = None

    def texts(self, answers: list[list[int]] | None) -> list[str] | None:
        """The answers as text, None without answers or tokenizer."""
        if not answers or self.tokenizer is None:
            return None
        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        return [tokenizer.decode(ids, skip_special_tokens=False) for ids in answers]


def make_exam(model: Model, prompt_tokens: int, new_tokens: int) -> Exam:
    """The held-out text in sequences of 513 tokens and five questions, under the model's own tokenizer.

    A model without tokenizer (synthetic weights) gets seeded random ids instead of the text, and no questions.
    Sequences and questions are cut to what the model and the workload's cache hold.
    """
    length = min(LENGTH + 1, model.config.get("max_position_embeddings") or LENGTH + 1)
    path = model.path / "tokenizer.json"
    if not path.is_file():
        random = prompts.random_ids(model.config["vocab_size"], SEQUENCES, 1, length)
        return Exam([rows[0] for rows in random], [], [], 0, False)
    tokenizer = Tokenizer.from_file(str(path))
    ids = tokenizer.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).ids
    sequences = [ids[start : start + length] for start in range(0, SEQUENCES * length, length)]
    texts = prompts.questions()[:QUESTIONS]
    question_ids = [tokenizer.encode(text + "\n", add_special_tokens=False).ids[:prompt_tokens] for text in texts]
    sequences = [sequence for sequence in sequences if len(sequence) > 1]
    return Exam(sequences, question_ids, texts, min(new_tokens, ANSWER_TOKENS), True, path)

#!/usr/bin/env python3
"""Train the bundled model: a small Llama on English documentation, on a CPU, within a fixed time.

    python orchestrator/models/tiny/train.py --out orchestrator/models/tiny --minutes 28

Needs torch, transformers, tokenizers, safetensors and numpy, and the Debian packages that corpus.py names.
A stopped run continues from its last checkpoint if restarted with the same --work.
"""

from __future__ import annotations

import argparse
import collections
import copy
import hashlib
import json
import math
import os
import time
from pathlib import Path

# Must be set before torch is imported. OpenMP threads spin while they wait: on two cores shared with other programs, a
# training step took three to five times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import corpus
import numpy as np
import safetensors
import safetensors.torch
import tokenizers
import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 20240607
CONTEXT, BATCH = 512, 2  # small: within minutes, more steps help more than smoother gradients
PEAK_LR, WARMUP_STEPS, WEIGHT_DECAY, CLIP = 1.5e-3, 100, 0.1, 1.0
EVERY_SECONDS = 120  # between two checkpoints
SHIPPED = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
PROMPTS = ("What is the difference between a table and a view?", "To install the package, you need to")

# torch_dtype and rope_theta are for transformers 4, dtype and rope_parameters for transformers 5. Every size is
# divisible by 256, or is 64 per head.
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dtype": "float16",
    "eos_token_id": 1,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 512,
    "initializer_range": 0.02,
    "intermediate_size": 1024,
    "max_position_embeddings": 2048,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": corpus.VOCAB,
}
TOKENIZER_CONFIG = {
    "add_bos_token": True,
    "add_eos_token": False,
    "add_prefix_space": False,
    "bos_token": corpus.BOS,
    "clean_up_tokenization_spaces": False,
    "eos_token": corpus.EOS,
    "model_max_length": 2048,
    "pad_token": corpus.EOS,
    "tokenizer_class": "PreTrainedTokenizerFast",
}


def say(text: str) -> None:
    """Print one line of progress, unbuffered."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def write_json(path: Path, value: dict, sort_keys: bool = True) -> None:
    """Write *value* as indented JSON with a newline at the end."""
    path.write_text(json.dumps(value, indent=2, sort_keys=sort_keys) + "\n", encoding="utf-8")


def batches(ids: np.ndarray):
    """Endless training batches, [BATCH, CONTEXT + 1]: every pass shifts the window borders and reshuffles."""
    rng = np.random.default_rng(SEED)
    while True:
        windows = ids[rng.integers(CONTEXT) :]
        windows = windows[: len(windows) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
        order = rng.permutation(len(windows))
        for i in range(0, len(order) - BATCH + 1, BATCH):
            yield torch.from_numpy(windows[order[i : i + BATCH]])


def loss_of(model: LlamaForCausalLM, batch: torch.Tensor, bf16: bool) -> torch.Tensor:
    """Mean cross-entropy in nats per token of predicting batch[:, 1:] from the tokens before."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = model(batch[:, :-1], use_cache=False).logits
    return cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


def make_optimizer(model: LlamaForCausalLM) -> torch.optim.AdamW:
    """AdamW; matrices decay, normalisation weights do not."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.98), fused=True)


def train_step(model: LlamaForCausalLM, optimizer: torch.optim.AdamW, batch: torch.Tensor, bf16: bool) -> float:
    """One optimizer step; returns the loss before it."""
    loss = loss_of(model, batch, bf16)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def seconds_per_step(model: LlamaForCausalLM, batch: torch.Tensor, bf16: bool, steps: int = 20) -> float:
    """Median seconds of a step on a copy of the model: bfloat16 is faster only if the CPU has instructions for it."""
    trial = copy.deepcopy(model)
    optimizer, times = make_optimizer(trial), []
    for _ in range(steps):
        start = time.monotonic()
        train_step(trial, optimizer, batch, bf16)
        times.append(time.monotonic() - start)
    return float(np.median(times))


@torch.no_grad()
def perplexity(model: LlamaForCausalLM, ids: np.ndarray) -> tuple[float, int]:
    """exp of the mean cross-entropy over *ids* in float32, and the tokens counted.

    The text is split into windows that predict CONTEXT tokens each, without context from the previous window.
    """
    windows = ids[: (len(ids) - 1) // CONTEXT * CONTEXT + 1]
    total, count = 0.0, 0
    for start in range(0, len(windows) - 1, CONTEXT):
        window = torch.from_numpy(windows[start : start + CONTEXT + 1])[None]
        total += loss_of(model, window, bf16=False).item() * CONTEXT
        count += CONTEXT
    return math.exp(total / count), count


def unigram_perplexity(train_ids: np.ndarray, ids: np.ndarray, counted: int) -> float:
    """Perplexity of the same held-out tokens predicted by token frequency in the training text (plus one)."""
    counts = np.bincount(train_ids, minlength=corpus.VOCAB) + 1.0
    return math.exp(-np.log(counts / counts.sum())[ids[1 : counted + 1]].mean())


def train(model: LlamaForCausalLM, train_ids: np.ndarray, heldout: np.ndarray, minutes: float, work: Path) -> dict:
    """Train in place for *minutes* of wall time; returns the figures of the run."""
    optimizer, checkpoint = make_optimizer(model), work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        run = state["run"]
        say(f"continuing from step {run['steps']}")
    else:
        stream = batches(train_ids)
        trial = next(stream)
        speed = {name: seconds_per_step(model, trial, name == "bfloat16") for name in ("float32", "bfloat16")}
        say("seconds per step: " + ", ".join(f"{name} {value:.3f}" for name, value in speed.items()))
        run = {"steps": 0, "seconds": 0.0, "seconds_per_step": speed, "compute": min(speed, key=speed.get)}
    stream = batches(train_ids)
    for _ in range(run["steps"]):
        next(stream)  # a resumed run continues where it stopped in the text
    before, start, saved, recent = run["seconds"], time.monotonic(), time.monotonic(), collections.deque(maxlen=50)
    while run["seconds"] < minutes * 60:
        # Cosine over elapsed time, not steps: on any machine the rate reaches its minimum when time is up.
        share = run["seconds"] / (minutes * 60)
        rate = PEAK_LR * (0.02 + 0.49 * (1 + math.cos(math.pi * share))) * min(1, (run["steps"] + 1) / WARMUP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        recent.append(train_step(model, optimizer, next(stream), run["compute"] == "bfloat16"))
        run["steps"] += 1
        run["seconds"] = before + time.monotonic() - start
        if run["steps"] % 50 == 0:
            tokens = run["steps"] * BATCH * CONTEXT
            elapsed = f"{run['seconds'] / 60:5.1f} of {minutes:g} min  step {run['steps']}  {tokens / 1e6:.2f} M tokens"
            say(f"{elapsed}  loss {np.mean(recent):.3f}  rate {rate:.1e}")
        if time.monotonic() - saved > EVERY_SECONDS or run["seconds"] >= minutes * 60:
            say(f"held-out perplexity (part of it) {perplexity(model, heldout[:20_000])[0]:.1f}")
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "run": run}, work / "new.pt")
            (work / "new.pt").replace(checkpoint)  # an interrupted write keeps the older checkpoint
            saved = time.monotonic()
    return run


def figures(model: LlamaForCausalLM, train_ids: np.ndarray, ids: np.ndarray) -> dict[str, float]:
    """Perplexity of the model on `ids`, and that of token frequencies."""
    value, counted = perplexity(model, ids)
    unigram = unigram_perplexity(train_ids, ids, counted)
    return {"tokens": counted, "perplexity": round(value, 3), "unigram_perplexity": round(unigram, 3)}


def continuations(model: LlamaForCausalLM, tokenizer: tokenizers.Tokenizer) -> list[dict[str, str]]:
    """The model's continuation of every prompt in PROMPTS, all from the same seed."""
    samples = []
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        torch.manual_seed(SEED)
        out = model.generate(ids, do_sample=True, temperature=0.7, top_k=40, max_new_tokens=80, pad_token_id=1)
        samples.append({"prompt": prompt, "continuation": tokenizer.decode(out[0, ids.shape[1] :].tolist())})
    return samples


def arguments() -> argparse.Namespace:
    """Parse the command line and create both folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished files")
    parser.add_argument("--minutes", type=float, default=28, help="wall time of the training proper (default 28)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--work", type=Path, default=Path(".cache/train-tiny"), help="packages and checkpoints")
    args = parser.parse_args()
    for folder in (args.out, args.work):
        folder.mkdir(parents=True, exist_ok=True)
    return args


def main() -> None:
    """Build the corpus, train tokenizer and model, evaluate the stored weights, write the files."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)

    say("reading the documentation packages")
    documents = corpus.build(args.work / "packages")
    heldout = [d for d in documents if corpus.is_heldout(d)]
    texts = [d.text for d in documents if not corpus.is_heldout(d)]
    say(f"{len(documents)} documents, {len(heldout)} held out; training the tokenizer")
    tokenizer = corpus.train_tokenizer(texts)
    tokenizer.save(str(args.out / "tokenizer.json"))
    train_ids, heldout_ids = corpus.encode(tokenizer, texts), corpus.encode(tokenizer, [d.text for d in heldout])
    say(f"{len(train_ids)} training tokens, {len(heldout_ids)} held-out tokens")

    write_json(args.out / "config.json", CONFIG)
    write_json(args.out / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1})
    write_json(args.out / "tokenizer_config.json", TOKENIZER_CONFIG)
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(args.out)).float()
    run = train(model, train_ids, heldout_ids, args.minutes, args.work)

    # The tied output matrix is the embedding, stored once. float16 has enough range for the norms.
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    safetensors.torch.save_file(weights, args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)  # safetensors writes 0600, which a container's user cannot read
    say("evaluating the stored weights")
    stored = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32).eval()
    text = corpus.heldout_text(heldout)
    (args.out / "heldout.txt").write_text(text, encoding="utf-8")
    model_ppl, counted = perplexity(stored, heldout_ids)
    write_json(
        args.out / "training.json",
        {
            "parameters": sum(p.numel() for p in stored.parameters()),
            "seed": SEED,
            "steps": run["steps"],
            "tokens_seen": run["steps"] * BATCH * CONTEXT,
            "context": CONTEXT,
            "batch": BATCH,
            "peak_learning_rate": PEAK_LR,
            "wall_minutes": round(run["seconds"] / 60, 2),
            "threads": args.threads,
            "compute_dtype": run["compute"],
            "seconds_per_step_at_start": {k: round(v, 4) for k, v in run["seconds_per_step"].items()},
            "training_tokens": len(train_ids),
            "heldout_tokens": counted,
            "heldout_perplexity": round(model_ppl, 3),
            "unigram_perplexity": round(unigram_perplexity(train_ids, heldout_ids, counted), 3),
            "heldout_txt": figures(stored, train_ids, corpus.encode(tokenizer, [text])),
            "samples": continuations(stored, tokenizer),
            "sampling": "temperature 0.7, top-k 40, the seed above",
            "corpus": corpus.describe(documents),
            "versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers, safetensors, np)},
        },
        sort_keys=False,
    )
    files = {name: hashlib.sha256((args.out / name).read_bytes()).hexdigest() for name in SHIPPED}
    write_json(args.out / "manifest.json", {"files": files})
    say(f"held-out perplexity {model_ppl:.2f} over {counted} tokens; files are in {args.out}")


if __name__ == "__main__":
    main()

"""ONNX Runtime GenAI: its own decode loop, one generate_next_token() per step, on the graph that its builder wrote."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxruntime_genai as og

from common.engine import Engine, Loaded
from common.launch import main
from common.machine import thread_count
from common.tools.logits import log_softmax

FLOATS = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16"}
ROTARY = ("cos_cache", "sin_cache")
FOLDED = ("Transpose", "Reshape")  # of a stored tied matrix: the session computes them once, and keeps both


class OnnxRuntime(Engine):
    def load(self, job):
        og.disable_telemetry_events()  # on by default; a measured process sends nothing
        og.Tensor(np.zeros(1, np.float32))  # makes the runtime's environment, whose threads are not the session's
        self.artefact, shape = Path(job["model"]["artefact"]), job["shape"]
        self.length = shape["prompt_tokens"] + shape["new_tokens"]
        # Some id must end a sequence: one beyond the vocabulary is an error, and in place of none the padding id is
        # taken. After that id the library gives padding, so `generate` begins anew there. Written as a number: a list
        # would be added to the ids of genai_config.json, a number takes their place.
        self.ending = job["model"]["vocab_size"] - 1
        config = og.Config(str(self.artefact))
        options = {"intra_op_num_threads": job["threads"]}
        config.overlay(json.dumps({"model": {"eos_token_id": self.ending, "decoder": {"session_options": options}}}))
        on_cpu = job["device"]["kind"] == "cpu"
        before = thread_count()
        self.model = og.Model(config)
        # The session's pool is one thread short of what computes, since the caller is one; GenAI starts one of its own.
        # Seen with 1 to 4: as many new threads as intra_op_num_threads.
        pool = thread_count() - before
        if self.model.device_type.lower() != job["device"]["kind"]:
            raise RuntimeError(f"the model is on {self.model.device_type}, not on {job['device']['kind']}")
        return self._read_back(shape["batch_size"], pool if on_cpu else None)

    def _start(self, rows, length):
        """A generator that has read `rows`, token ids [batch][tokens]; its KV cache holds `length` tokens a row."""
        parameters = og.GeneratorParams(self.model)
        parameters.set_search_options(do_sample=False, batch_size=len(rows), max_length=length)
        generator = og.Generator(self.model, parameters)
        generator.append_tokens(np.array(rows, dtype=np.int32))
        return generator

    def generate(self, prompts, new_tokens):
        length = len(prompts[0]) + new_tokens
        generator, steps = self._start(prompts, length), []
        for step in range(new_tokens):
            generator.generate_next_token()
            ids = generator.get_next_tokens().tolist()
            yield ids
            steps.append(ids)
            if self.ending in ids and step + 1 < new_tokens:
                generator = self._start(np.hstack([prompts, np.transpose(steps)]), length)

    def logprobs(self, tokens):
        return log_softmax(self._start([tokens[:-1]], len(tokens)).get_output("logits")[0].astype(np.float32))

    def _read_back(self, batch, pool):
        """Bytes and types from the graph that was loaded; the KV cache's from the cache of a one-token run."""
        facts = json.loads((self.artefact / "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
        graph = onnx.load(str(self.artefact / facts["filename"]), load_external_data=False).graph
        stored, held = {}, Counter()
        for tensor in graph.initializer:
            if tensor.name in ROTARY:  # made for the model's longest context: half a megabyte beside a small model
                continue
            size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            stored[tensor.name] = kind, prod(tensor.dims) * size
        copies = [node.input[0] for node in graph.node if node.op_type in FOLDED and node.input[0] in stored]
        for kind, nbytes in [*stored.values(), *(stored[name] for name in copies)]:
            held[kind] += nbytes
        matrices = Counter(describe(node) for node in graph.node if "MatMul" in node.op_type)
        quantised = sorted(each for each in matrices if "bits" in each)
        generator = self._start([[0]] * batch, 2)
        names = [facts["outputs"][f"present_{each}_names"] for each in ("key", "value")]
        caches = [generator.get_output(name % layer) for layer in range(facts["num_hidden_layers"]) for name in names]
        return Loaded(
            version=f"{og.__version__} (onnxruntime {onnxruntime.__version__})",
            dtype=max((nbytes, FLOATS[kind]) for kind, nbytes in held.items() if kind in FLOATS)[1],
            quantization="; ".join(quantised) or None,
            weight_bytes=held.total(),
            threads=pool,
            kv_dtype=str(caches[0].dtype),
            kv_bytes=sum(each.nbytes // each.shape[2] for each in caches) * self.length,  # [batch, heads, tokens, size]
            extra={
                "device": self.model.device_type,
                "matrices": dict(matrices),
                "attention": dict(Counter(n.op_type for n in graph.node if "Attention" in n.op_type)),
                "weight_bytes_by_type": dict(held),
                "held_twice": copies,
            },
        )

    def close(self):
        del self.model


def describe(node):
    """MatMul, or MatMulNBits with what the format is made of."""
    values = {each.name: each.i for each in node.attribute}
    if "bits" not in values:
        return node.op_type
    level = values.get("accuracy_level", 0)
    return f"{node.op_type}, {values['bits']} bits, blocks of {values['block_size']}, accuracy level {level}"


if __name__ == "__main__":
    main(OnnxRuntime)

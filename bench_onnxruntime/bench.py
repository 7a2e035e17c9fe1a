"""ONNX Runtime GenAI: its own decode loop, one generate_next_token() per step, on the graph of its model builder."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime_genai as og

from bench_onnxruntime.loaded import read_back
from common.engine import Engine
from common.launch import main
from common.machine import thread_count
from common.tools.logits import log_softmax


class OnnxRuntime(Engine):
    def load(self, job):
        og.disable_telemetry_events()  # on by default; a measured process sends nothing
        og.Tensor(np.zeros(1, np.float32))  # creates the environment, whose threads must not be counted below
        artefact, device = job.model.artefact, job.device.kind
        # The library needs an end id: one beyond the vocabulary is an error, and the default is the padding id. After
        # it the library yields padding, so `generate` restarts there. A number replaces the ids of genai_config.json; a
        # list would be added to them.
        self.ending = job.model.vocab_size - 1
        config = og.Config(artefact)
        options = {"intra_op_num_threads": job.threads}
        config.overlay(json.dumps({"model": {"eos_token_id": self.ending, "decoder": {"session_options": options}}}))
        before = thread_count()
        self.model = og.Model(config)
        # The session's pool lacks one thread, since the caller computes as well, but GenAI starts one: with 1 to 4
        # threads there were as many new threads as intra_op_num_threads.
        threads = thread_count() - before
        if self.model.device_type.lower() != device:
            raise RuntimeError(f"the model is on {self.model.device_type}, not on {device}")
        probe = self._start([[0]] * job.shape.batch_size, 2)
        return read_back(self.model, artefact, probe, job.shape, threads if device == "cpu" else None)

    def generate(self, prompts, new_tokens):
        length = len(prompts[0]) + new_tokens
        generator, steps = self._start(prompts, length), []
        for step in range(new_tokens):
            generator.generate_next_token()
            ids = generator.get_next_tokens().tolist()  # [batch]
            yield ids
            steps.append(ids)
            if self.ending in ids and step + 1 < new_tokens:
                generator = self._start(np.hstack([prompts, np.transpose(steps)]), length)

    def logprobs(self, tokens):
        logits = self._start([tokens[:-1]], len(tokens)).get_output("logits")  # [1, tokens - 1, vocab]
        return log_softmax(logits[0].astype(np.float32))

    def close(self):
        del self.model

    def _start(self, rows, length):
        """A generator that has read `rows`, token ids [batch][tokens]; its KV cache holds `length` tokens a row."""
        parameters = og.GeneratorParams(self.model)
        parameters.set_search_options(do_sample=False, batch_size=len(rows), max_length=length)
        generator = og.Generator(self.model, parameters)
        generator.append_tokens(np.array(rows, dtype=np.int32))
        return generator


if __name__ == "__main__":
    main(OnnxRuntime)

"""A sandbox without walls: launches of the dummy and its relatives, in this process."""

import json
from types import SimpleNamespace

from bench_dummy.bench import Dummy
from common import launch as runtime
from common.contract import Job, read_job
from orchestrator.sandbox.task import Ended, write_job
from tests.support.results_directory import probe


class InProcess:
    """`kinds` gives the engine class of each name. `before` is called with the task of every launch."""

    isolation = "venv"
    peak_gflops = 100.0

    def __init__(self, kinds=None):
        self.kinds = kinds or {"dummy": Dummy}
        self.ran = []
        self.before = lambda task: None

    def prepare(self, made, kind):
        return SimpleNamespace(tag=f"venv:{made.name}", id="1", recipe=("make it",))

    def recall(self, tag, image_id, recipe):
        return None

    def run(self, prepared, task):
        self.ran.append(f"{task.engine} {task.module}")
        self.before(task)
        job_file = write_job(task, str(task.model), None)
        (task.directory / "reproduce.sh").write_text("again\n")
        (task.directory / "stderr.log").write_text("")
        if task.module == "common.tools.packages":
            told = {"python": "3.11", "distribution": "Made up 1", "pypi": [{"name": "mine", "version": "1.0"}]}
            if not (task.out / "packages.json").exists():
                (task.out / "packages.json").write_text(json.dumps(told))
            return Ended(0, None, False, False, 1.0)
        if task.module == "common.limits":
            peaks = {"float32": {"gflops": self.peak_gflops, "n": 512, "by": "test"}}
            told = {"bandwidth": [probe(), probe(), probe()], "matmul": peaks}
            (task.out / "limits.json").write_text(json.dumps(told, default=vars))
            return Ended(0, None, False, False, 1.0)
        code = runtime.run(self.kinds[task.engine], read_job(job_file, Job), task.out)
        return Ended(code, None, False, False, 1.0)

    def pids(self):
        return set()

    def stop(self):
        pass

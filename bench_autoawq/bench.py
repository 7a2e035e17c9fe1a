"""AWQ by GPTQModel: the same as bench_autogptq except for the method's name.

settings: group_size (see convert.py), backend (GPTQModel's name of the kernel, by device), compute.
"""

from __future__ import annotations

from bench_autogptq.bench import GPTQModelEngine
from common.launch import main


class AutoAWQ(GPTQModelEngine):
    method = "awq"


if __name__ == "__main__":
    main(AutoAWQ)

#!/bin/sh
# The one entry: makes its own virtual environment on first use, then runs the orchestrator.
#   ./benchmark.sh             PyTorch and llama.cpp on the bundled model
#   ./benchmark.sh --help      everything else
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/orchestrator/environment.sh"
exec "$here/.venv/bin/python" -m orchestrator "$@"

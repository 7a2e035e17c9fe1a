#!/bin/sh
# The whole test suite for this machine: unit tests side by side, then one after the other browser tests where there is a
# Chromium, container tests where a Docker daemon answers, gpu tests where there is a GPU. What is left out is left out
# with a printed reason.
#   ./test.sh                      everything
#   ./test.sh tests/unit -k stats  pytest's own arguments; -n 2 runs tests side by side
set -eu
here=$(cd "$(dirname "$0")" && pwd)
extra=test
. "$here/orchestrator/environment.sh"
cd "$here"
[ $# = 0 ] || exec .venv/bin/python -m pytest "$@"

status=0
# At most four: some unit tests wait for real processes, and on a busy machine these do not answer in time.
.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal tests/unit || status=1
# The others measure, or share one daemon.
.venv/bin/python -m pytest tests/browser tests/faults tests/container tests/gpu || status=1
exit $status

#!/bin/sh
# The whole test suite for this machine: unit tests, browser tests where there is a Chromium, container tests where a Docker
# daemon answers, gpu tests where there is a GPU. What is left out is left out with a printed reason.
#   ./test.sh                      everything
#   ./test.sh tests/unit -k stats  pytest's own arguments
set -eu
here=$(cd "$(dirname "$0")" && pwd)
extra=test
. "$here/orchestrator/environment.sh"
cd "$here"
exec .venv/bin/python -m pytest "$@"

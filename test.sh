#!/bin/sh
# The whole test suite for this machine: unit tests side by side, then one after the other browser tests where there is a
# Chromium, container tests where a Docker daemon answers, gpu tests where there is a GPU. What is left out is left out
# with a printed reason.
#   ./test.sh                      everything, and of the real engines those that changed since their last whole check
#   ./test.sh --engines all        everything, and every engine; or --engines a,b
#   ./test.sh --engines a --record [tests/container/test_real_engines.py]   enters a whole check in tests/container/checked.yaml
#   ./test.sh tests/unit -k stats  pytest's own arguments; -n 2 runs tests side by side
set -eu
here=$(cd "$(dirname "$0")" && pwd)
extra=test
. "$here/orchestrator/environment.sh"
cd "$here"
choice=
while :; do
    case "${1:-}" in
        --engines) choice="$choice --engines=${2:?all, or a list: a,b}"; shift 2 ;;
        --engines=* | --record) choice="$choice $1"; shift ;;
        *) break ;;
    esac
done
# shellcheck disable=SC2086 # several options, and no engine's name holds a space
[ $# = 0 ] || exec .venv/bin/python -m pytest $choice "$@"

# What does not measure runs beside the build of the images. It compiles, so what measures waits for its end.
# shellcheck disable=SC2086
.venv/bin/python -m tests.build_images $choice &
builds=$!
trap 'kill $builds 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
status=0
# At most four: some unit tests wait for real processes, and on a busy machine these do not answer in time.
.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal tests/unit || status=1
.venv/bin/python -m pytest tests/browser || status=1
wait $builds || true
# The others measure, or share one daemon.
# shellcheck disable=SC2086
.venv/bin/python -m pytest $choice tests/faults tests/container tests/gpu || status=1
exit $status

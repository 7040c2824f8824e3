#!/usr/bin/env bash
# Submits a job of a Ray cluster from a checkout, as `ray job submit` with its options:
#   deploy/submit.sh --address http://127.0.0.1:8265 --no-wait -- study run NAME
# .git does not travel: the commit and what differs from it go along in a file, and trials record them.
set -euo pipefail

cd "$(dirname "$0")/.."
trap 'rm -f study/stamp.json study/stamp.json.new' EXIT
python -m study.machine.provenance >study/stamp.json.new
mv study/stamp.json.new study/stamp.json
ray job submit --working-dir . "$@"

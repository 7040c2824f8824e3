#!/usr/bin/env bash
# Starts MLflow on this machine's loopback, unless it runs: its database and artifacts are named by cluster.env.
set -euo pipefail

if curl --silent --fail --max-time 5 http://127.0.0.1:5000/health >/dev/null; then exit 0; fi
# Options by environment: a database's URI may hold a password, and a command line is open to everyone.
# Without the runners of jobs that judge language models: a dozen processes.
MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false nohup mlflow server --host 127.0.0.1 --port 5000 --workers 2 \
    >>"$HOME/mlflow.log" 2>&1 </dev/null &
for _ in $(seq 60); do
    if curl --silent --fail --max-time 5 http://127.0.0.1:5000/health >/dev/null; then exit 0; fi
    sleep 1
done
echo "MLflow does not answer; see $HOME/mlflow.log" >&2
exit 1

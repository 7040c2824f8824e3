#!/usr/bin/env bash
# Starts Ray on a node anew, with what all nodes have in common: `start.sh ray start …`. Beside the head, MLflow.
set -euo pipefail

ray stop
ulimit -n 65536 || true # as many open files as the machine allows
case " $* " in
    *" --head "*)
        bash "$(dirname "$0")/mlflow.sh"
        set -- "$@" --port=6379 --dashboard-host=127.0.0.1 # the dashboard comes to your machine through ssh
        ;;
esac
exec "$@" --object-manager-port=8076 --disable-usage-stats

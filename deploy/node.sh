#!/usr/bin/env bash
# Installs what a node needs, or nothing where it is installed: `node.sh requirements.lock cluster.env`.
# Python and packages go to ~/venv, with the lock's hashes checked; the code of a study comes with each job.
set -euo pipefail

lock=$1 variables=$2 venv="$HOME/venv" here=$(dirname "$0")
PYTHON_VERSION=3.11
UV_VERSION=$(sed 's/^uv==//' "$here/uv.txt")

if ! cmp --silent "$lock" "$venv/requirements.lock"; then
    curl --proto '=https' --tlsv1.2 -LsSf "https://astral.sh/uv/$UV_VERSION/install.sh" |
        env UV_INSTALL_DIR="$HOME/.local/bin" INSTALLER_NO_MODIFY_PATH=1 sh
    uv="$HOME/.local/bin/uv"
    "$uv" venv --quiet --clear --python "$PYTHON_VERSION" "$venv"
    "$uv" pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock"
    install -m 755 "$here/study" "$venv/bin/study"
    cp "$lock" "$venv/requirements.lock"
fi

# Ray starts a job's interpreter from the path of its own processes, whose shell reads this line.
line=". $variables && export PATH=\"$venv/bin:\$PATH\""
grep --quiet --fixed-strings --line-regexp "$line" "$HOME/.bashrc" || printf '%s\n' "$line" >>"$HOME/.bashrc"
if [ -e "$HOME/.ray/auth_token" ]; then chmod 600 "$HOME/.ray/auth_token"; fi

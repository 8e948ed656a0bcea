#!/usr/bin/env bash
# What tpu_vm.sh has each worker do, in the checkout on that worker.
set -euo pipefail

usage() {
    cat <<'TEXT'
launch/tpu_worker.sh install | start -- ARGUMENTS OF elm_jax.main | status | stop | log [--follow]

  install  Python 3.11 by uv (from PyPI if missing), .[tpu,gcs] with constraints.txt, in .venv
  start    starts the run; it outlives the connection; refused while one runs
  status   prints one of: none, running, gone (died without a word), or the run's exit code
  stop     SIGTERM: the run saves and exits with 75
  log      the last 100 lines of run.log

  --dry-run before the command prints what it would run.
TEXT
}

dry_run=false
[[ ${1:-} != --dry-run ]] || { dry_run=true && shift; }
call() {
    if $dry_run; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

status() {
    if [[ -f run.exit ]]; then
        cat run.exit
    elif [[ ! -f run.pid ]]; then
        echo none
    elif kill -0 "$(<run.pid)" 2>/dev/null; then
        echo running
    else
        echo gone
    fi
}

case ${1:-} in
install)
    export PATH="$HOME/.local/bin:$PATH"
    command -v uv >/dev/null || call python3 -m pip install --user --quiet uv
    call uv venv --quiet --allow-existing --python 3.11 .venv
    call uv pip install --quiet --python .venv/bin/python -c constraints.txt ".[tpu,gcs]"
    ;;
start)
    [[ ${2:-} == -- ]] || { usage >&2 && exit 2; }
    shift 2
    line=("$python" -m elm_jax.main --distributed "$@")
    if $dry_run; then
        call "${line[@]}"
        exit 0
    fi
    [[ $(status) != running ]] || { echo "tpu_worker.sh: a run is running already" >&2 && exit 3; }
    rm -f run.exit
    # setsid and nohup: the run outlives the connection. The shell around it notes its exit code and
    # is not in the way of SIGTERM, which `stop` sends to the program alone.
    # shellcheck disable=SC2016
    setsid nohup bash -c '"$@" & echo $! > run.program; code=0; wait $! || code=$?
        echo "$code" > run.exit.new; mv run.exit.new run.exit' run "${line[@]}" \
        </dev/null >>run.log 2>&1 &
    echo $! >run.pid
    echo "started: $(hostname)"
    ;;
status) status ;;
stop)
    [[ $(status) == running ]] || { echo "tpu_worker.sh: nothing runs" >&2 && exit 3; }
    call kill -TERM "$(<run.program)"
    ;;
log)
    follow=()
    [[ ${2:-} != --follow ]] || follow=(-F)
    call tail -n 100 "${follow[@]}" run.log
    ;;
--help | -h) usage ;;
*) usage >&2 && exit 2 ;;
esac

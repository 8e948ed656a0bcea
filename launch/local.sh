#!/usr/bin/env bash
# Several processes of one run on this machine, each with CPU devices of its own.
set -euo pipefail

usage() {
    cat <<'TEXT'
launch/local.sh [-n N] [--devices K] [options] -- ARGUMENTS OF elm_jax.main

  launch/local.sh -n 2 -- --config configs/elm_5s.py:demo --workdir runs/two

  -n N           processes (1)
  --devices K    CPU devices of each process (1)
  --port P       where process 0 listens (a free one)
  --program P    run this file instead of `python -m elm_jax.main`; it is given the same flags
  --grace_s S    how long the others have to stop after one has died (20)
  --dry-run      print the commands and stop
  --help         this text

Each line of output is prefixed by its process's number. When a process dies the others are stopped
and its exit code is given. SIGTERM, SIGINT and SIGUSR1 are passed on to all as SIGTERM: a training
saves and exits with 75, "told to stop, state saved"; the same command goes on from there.
The Python is $PYTHON, else the checkout's .venv, else python3.
TEXT
}

fail() {
    echo "local.sh: $*" >&2
    exit 2
}

processes=1 devices=1 port="" program="" grace_s=20 dry_run=false
while (($#)); do
    case $1 in
    -n) processes=${2:?-n needs a number} && shift 2 ;;
    --devices) devices=${2:?--devices needs a number} && shift 2 ;;
    --port) port=${2:?--port needs a number} && shift 2 ;;
    --program) program=${2:?--program needs a file} && shift 2 ;;
    --grace_s) grace_s=${2:?--grace_s needs a number} && shift 2 ;;
    --dry-run) dry_run=true && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "unknown argument: $1 (what is for elm_jax.main comes after --)" ;;
    esac
done
for number in "$processes" "$devices" "$grace_s" ${port:+"$port"}; do
    [[ $number =~ ^[0-9]+$ ]] || fail "not a number: $number"
done
((processes > 0 && devices > 0)) || fail "-n and --devices must be at least 1"
(($#)) || fail "no arguments for elm_jax.main; see --help"

home=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$home/.venv/bin/python}
[[ -x $python || -n ${PYTHON:-} ]] || python=python3
command=("$python" -m elm_jax.main)
[[ -z $program ]] || command=("$program")
if [[ -z $port ]]; then
    port=PORT
    $dry_run || port=$("$python" -c \
        'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
fi
settings=(
    "JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}"
    "JAX_CPU_COLLECTIVES_IMPLEMENTATION=${JAX_CPU_COLLECTIVES_IMPLEMENTATION:-gloo}"
    "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=$devices"
    "PYTHONPATH=$home${PYTHONPATH:+:$PYTHONPATH}" # the checkout's code, wherever one stands
)

line_of() { # the words that start process $1, into `line`
    line=(env "${settings[@]}" "${command[@]}")
    ((processes == 1)) || line+=(
        "--coordinator_address=127.0.0.1:$port" "--num_processes=$processes" "--process_id=$1"
    )
    line+=("${arguments[@]}")
}

arguments=("$@")
if $dry_run; then
    for ((i = 0; i < processes; i++)); do
        line_of "$i"
        printf '%q ' "${line[@]}"
        echo
    done
    exit 0
fi

prefixed() {
    local text
    while IFS= read -r text || [[ -n $text ]]; do printf '[%s] %s\n' "$1" "$text"; done
}

pids=() codes=() told=false
tell() { # a signal to every process that still runs
    local i
    for ((i = 0; i < processes; i++)); do
        [[ -n ${codes[i]:-} ]] || kill -s "$1" "${pids[i]}" 2>/dev/null || true
    done
}
pass_on() {
    told=true
    echo "local.sh: told to stop ($1); passed on to all processes" >&2
    tell TERM
}
trap 'tell KILL' EXIT # whatever happens here, nothing is left behind

# Begun only after the traps: a signal in between must find somebody who passes it on.
trap 'pass_on SIGTERM' TERM
trap 'pass_on SIGINT' INT
trap 'pass_on SIGUSR1' USR1
for ((i = 0; i < processes; i++)); do
    line_of "$i"
    "${line[@]}" > >(prefixed "$i") 2> >(prefixed "$i" >&2) &
    pids[i]=$!
done

first="" deadline="" killed=false
while true; do
    running=0
    for ((i = 0; i < processes; i++)); do
        [[ -z ${codes[i]:-} ]] || continue
        if kill -0 "${pids[i]}" 2>/dev/null; then
            running=$((running + 1))
            continue
        fi
        codes[i]=0
        wait "${pids[i]}" || codes[i]=$?
        ((codes[i] == 0)) || [[ -n $first ]] || first=$i
    done
    ((running)) || break
    if [[ -n $first && -z $deadline ]]; then
        deadline=$((SECONDS + grace_s))
        # With 75 the others were told too, and are about to be done with what is being saved.
        if ((codes[first] != 75)); then
            echo "local.sh: process $first died (exit code ${codes[first]}); stopping the other" \
                "$running" >&2
            $told || tell TERM
        fi
    fi
    if [[ -n $deadline ]] && ((SECONDS >= deadline)) && ! $killed; then
        echo "local.sh: $running still run $grace_s s later; killed" >&2
        killed=true
        tell KILL
    fi
    sleep 0.1
done
wait # for the last lines
[[ -z $first ]] || exit "${codes[first]}"

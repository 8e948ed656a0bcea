#!/usr/bin/env bash
# A Cloud TPU slice from nothing to a finished run, through gcloud and queued resources.
set -euo pipefail

usage() {
    cat <<'TEXT'
launch/tpu_vm.sh COMMAND --name NAME --zone ZONE [options] [-- ARGUMENTS OF elm_jax.main]

  launch/tpu_vm.sh keep --name tueg --zone us-east5-a --type v5p-256 --spot -- \
      --config configs/elm_5s.py --config.data.dir=gs://BUCKET/shards --workdir gs://BUCKET/runs/a

commands
  create    ask for the slice and wait until it is there
  setup     on all workers: Python 3.11, this checkout as committed, .[tpu,gcs] with constraints.txt
  run       start the run on all workers; it goes on when the connection is lost
  status    the slice's state, and what each worker says of the run
  log       the last lines of a worker's log
  reconnect the same, and what follows (Ctrl-C ends the looking, not the run)
  stop      SIGTERM to the run on all workers: it saves and exits with 75 (end a `keep` first)
  delete    the slice; the workdir in the bucket stays
  keep      create, setup, run, and watch: when the slice is preempted or breaks, delete it, ask
            for another and run again, which resumes; ends when the run does, with its exit code

options
  --name NAME --zone ZONE [--project P]
  --type T         accelerator type (v5p-256: 128 chips on 32 hosts)
  --version V      software version (that of the type: v2-alpha-tpuv5 for v5p, ...)
  --spot           take capacity that may be preempted
  --reserved       take reserved capacity
  --worker I       whose log (0)
  --poll_s S       seconds between looks (60)
  --tries N        slices that `keep` asks for at most (100)
  --dry-run        print the commands and stop
  --help           this text

Data, workdir and caches must be gs:// paths (or storage that all hosts share). The workers' TPU
software images bring Python 3.10; setup brings 3.11 through uv, which it installs from PyPI. On
its workers a run is in ~/elm_jax: run.log, run.exit (its exit code).
TEXT
}

fail() {
    echo "tpu_vm.sh: $*" >&2
    exit 2
}

(($#)) || { usage >&2 && exit 2; }
[[ $1 != --help && $1 != -h ]] || { usage && exit 0; }
action=$1 && shift
name="" zone="" project="" type=v5p-256 version="" capacity="" worker=0 poll_s=60 tries=100
dry_run=false
while (($#)); do
    case $1 in
    --name) name=${2:?--name needs a value} && shift 2 ;;
    --zone) zone=${2:?--zone needs a value} && shift 2 ;;
    --project) project=${2:?--project needs a value} && shift 2 ;;
    --type) type=${2:?--type needs a value} && shift 2 ;;
    --version) version=${2:?--version needs a value} && shift 2 ;;
    --spot) capacity=--spot && shift ;;
    --reserved) capacity=--reserved && shift ;;
    --worker) worker=${2:?--worker needs a value} && shift 2 ;;
    --poll_s) poll_s=${2:?--poll_s needs a value} && shift 2 ;;
    --tries) tries=${2:?--tries needs a value} && shift 2 ;;
    --dry-run) dry_run=true && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "unknown argument: $1 (what is for elm_jax.main comes after --)" ;;
    esac
done
[[ -n $name && -n $zone ]] || fail "--name and --zone are needed"
arguments=("$@")

if [[ -z $version ]]; then
    case $type in
    v6e-*) version=v2-alpha-tpuv6e ;;
    v5p-*) version=v2-alpha-tpuv5 ;;
    v5litepod-*) version=v2-alpha-tpuv5-lite ;;
    v4-* | v3-* | v2-*) version=tpu-ubuntu2204-base ;;
    *) fail "--type $type: which software version? Say it by --version" ;;
    esac
fi
where=("--zone=$zone" ${project:+"--project=$project"})
slice=(gcloud compute tpus queued-resources)
vm=(gcloud compute tpus tpu-vm)

call() { # runs a command, or prints it
    if $dry_run; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

on() { # on workers $1: launch/tpu_worker.sh with the words that follow
    local workers=$1 line
    shift
    line=$(printf '%q ' bash elm_jax/launch/tpu_worker.sh "$@")
    call "${vm[@]}" ssh "$name" "${where[@]}" "--worker=$workers" "--command=${line% }"
}

describe=("${slice[@]}" describe "$name" "${where[@]}" "--format=value(state.state)")
state() { # of the slice; NONE where there is none; UNKNOWN where it cannot be asked just now
    local said
    if said=$("${describe[@]}" 2>&1); then
        tail -n 1 <<<"$said"
    elif grep -qiE 'not.?found' <<<"$said"; then
        echo NONE
    else
        echo UNKNOWN
    fi
}

create() { # 0: it is there; 1: it was taken back; 2: it may not even be asked for
    call "${slice[@]}" create "$name" "${where[@]}" "--node-id=$name" "--accelerator-type=$type" \
        "--runtime-version=$version" ${capacity:+"$capacity"} || return 2
    if $dry_run; then
        call "${describe[@]}"
        return
    fi
    local now before=""
    while true; do
        now=$(state)
        [[ $now == "$before" ]] || echo "tpu_vm.sh: $name is $now" >&2
        before=$now
        case $now in
        ACTIVE) return 0 ;;
        FAILED | SUSPEND* | DELETING | NONE) return 1 ;;
        esac
        sleep "$poll_s"
    done
}

setup() {
    local home folder
    home=$(cd "$(dirname "$0")/.." && pwd)
    folder=FOLDER
    $dry_run || folder=$(mktemp -d)
    call git -C "$home" archive --format=tar.gz --prefix=elm_jax/ "--output=$folder/elm_jax.tgz" \
        HEAD || return 1
    call "${vm[@]}" scp "$folder/elm_jax.tgz" "$name:elm_jax.tgz" "${where[@]}" --worker=all ||
        return 1
    $dry_run || rm -r "$folder"
    call "${vm[@]}" ssh "$name" "${where[@]}" --worker=all "--command=tar -xzf elm_jax.tgz" ||
        return 1
    on all install
}

run() {
    ((${#arguments[@]})) || fail "no arguments for elm_jax.main; see --help"
    on all start -- "${arguments[@]}"
}

status() {
    call "${describe[@]}"
    on all status
}

delete() {
    call "${slice[@]}" delete "$name" "${where[@]}" --force --quiet
}

said() { # what the workers say of the run, each word once; nothing where they cannot be reached
    on all status 2>/dev/null | grep -xE '[0-9]+|none|running|gone' | sort -u || true
}

watch_run() { # until the run or its slice ends; gives the exit code, 75 where it is to go on
    local words code
    while true; do
        sleep "$poll_s"
        case $(state) in
        ACTIVE) ;;
        UNKNOWN) continue ;;
        *) return 75 ;;
        esac
        words=$(said)
        case $words in
        "" | *running*) continue ;;
        0) return 0 ;;
        *gone* | *none* | *75*) return 75 ;; # rebooted for maintenance, or told to stop
        esac
        # 76 says no more than that another process died: the other's code says why.
        code=$(grep -vxE '0|76' <<<"$words" | head -n 1)
        code=${code:-76}
        # The others crash when one machine is taken; a little later the slice says so.
        sleep "$poll_s"
        [[ $(state) == ACTIVE ]] || return 75
        return "$code"
    done
}

keep() {
    ((${#arguments[@]})) || fail "no arguments for elm_jax.main; see --help"
    if $dry_run; then
        create && setup && run && status && delete
        return
    fi
    local code try
    for ((try = 1; try <= tries; try++)); do
        case $(state) in
        ACTIVE | NONE) ;;
        *) delete || true ;;
        esac
        code=0
        [[ $(state) == ACTIVE ]] || create || code=$?
        ((code != 2)) || fail "the slice could not be asked for; see above"
        if ((code == 0)); then
            if [[ $(said) == *running* ]] || { setup && run; }; then
                watch_run || code=$?
            elif [[ $(state) == ACTIVE ]]; then
                fail "setup or run failed on a slice that is there; see above"
            else
                code=75
            fi
            if ((code != 75)); then
                echo "tpu_vm.sh: the run ended with exit code $code; the slice is still there:" \
                    "launch/tpu_vm.sh delete --name $name --zone $zone" >&2
                exit "$code"
            fi
        fi
        echo "tpu_vm.sh: preempted or broken (slice $try of at most $tries); going on" >&2
    done
    fail "gave up after $tries slices; the run is in its workdir: the same command goes on"
}

case $action in
create | setup | run | status | delete | keep) "$action" ;;
stop) on all stop ;;
log) on "$worker" log ;;
reconnect) on "$worker" log --follow ;;
*) fail "unknown command: $action; see --help" ;;
esac

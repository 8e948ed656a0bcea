#!/usr/bin/env bash
# Fills in jobset.yaml and applies it: one training on TPU slices or GPU nodes of GKE.
set -euo pipefail

usage() {
    cat <<'TEXT'
launch/gke/launch.sh --name NAME --image IMAGE [options] -- ARGUMENTS OF elm_jax.main

  launch/gke/launch.sh --name tueg --image IMAGE -- \
      --config configs/elm_5s.py --config.data.dir=gs://BUCKET/shards --workdir gs://BUCKET/runs/a
  launch/gke/launch.sh --name tueg --image IMAGE --gpus 8 --hosts 2 \
      --accelerator nvidia-h200-141gb -- ...

  --name NAME          of the JobSet: small letters, digits and -, at most 40
  --image IMAGE        of launch/gke/Dockerfile
  --accelerator A      node label: tpu-v5p-slice (default), tpu-v6e-slice, nvidia-h200-141gb, ...
  --topology T         of the slice (4x4x8: v5p-256, which is 128 chips on 32 hosts)
  --chips N            chips a host (4)
  --gpus N             GPU nodes with N GPUs each, instead of a TPU slice
  --hosts N            pods, one a host (TPU: chips of the topology / chips a host; GPU: 1)
  --service_account S  Kubernetes service account that may use the bucket
  --namespace N        where
  --spot               nodes that may be taken back
  --max_restarts N     after crashes (5); restarts after preemption do not count
  --dry-run            print the manifest and the command, and stop
  --help               this text

Data, workdir and caches must be gs:// paths. Exit code 75 (told to stop, state saved) and lost
nodes start all pods again, which resume. To follow, and to end:
  kubectl logs -f -l jobset.sigs.k8s.io/jobset-name=NAME --prefix --max-log-requests 64
  kubectl delete jobset NAME
TEXT
}

fail() {
    echo "launch.sh: $*" >&2
    exit 2
}

name="" image="" accelerator="" topology=4x4x8 chips=4 gpus=0 hosts="" service_account=""
namespace="" spot=false max_restarts=5 dry_run=false
while (($#)); do
    case $1 in
    --name) name=${2:?--name needs a value} && shift 2 ;;
    --image) image=${2:?--image needs a value} && shift 2 ;;
    --accelerator) accelerator=${2:?--accelerator needs a value} && shift 2 ;;
    --topology) topology=${2:?--topology needs a value} && shift 2 ;;
    --chips) chips=${2:?--chips needs a value} && shift 2 ;;
    --gpus) gpus=${2:?--gpus needs a value} && shift 2 ;;
    --hosts) hosts=${2:?--hosts needs a value} && shift 2 ;;
    --service_account) service_account=${2:?--service_account needs a value} && shift 2 ;;
    --namespace) namespace=${2:?--namespace needs a value} && shift 2 ;;
    --spot) spot=true && shift ;;
    --max_restarts) max_restarts=${2:?--max_restarts needs a value} && shift 2 ;;
    --dry-run) dry_run=true && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "unknown argument: $1 (what is for elm_jax.main comes after --)" ;;
    esac
done
[[ $name =~ ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ ]] ||
    fail "--name ${name:-(none)}: expected small letters, digits and -, at most 40"
[[ -n $image ]] || fail "--image is needed"
(($#)) || fail "no arguments for elm_jax.main; see --help"
[[ $topology =~ ^[0-9]+(x[0-9]+){1,2}$ ]] || fail "--topology $topology: expected as 4x4x8"
for number in "$chips" "$gpus" "$max_restarts" ${hosts:+"$hosts"}; do
    [[ $number =~ ^[0-9]+$ ]] || fail "not a number: $number"
done
if ((gpus)); then
    hosts=${hosts:-1}
    [[ -n $accelerator ]] || fail "--gpus needs --accelerator, as nvidia-h200-141gb"
else
    ((chips > 0)) || fail "--chips must be at least 1"
    all=$((${topology//x/*}))
    : "${hosts:=$((all / chips))}"
    ((hosts * chips == all)) ||
        fail "--topology $topology has $all chips; $hosts hosts of $chips have $((hosts * chips))"
    accelerator=${accelerator:-tpu-v5p-slice}
fi

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
[[ -x $python || -n ${PYTHON:-} ]] || python=python3
values=(
    "--name=$name" "--image=$image" "--accelerator=$accelerator" "--topology=$topology"
    "--chips=$chips" "--gpus=$gpus" "--hosts=$hosts" "--service_account=$service_account"
    "--namespace=$namespace" "--max_restarts=$max_restarts"
)
$spot && values+=(--spot)
manifest=$("$python" "$here/fill_in.py" "${values[@]}" -- "$@")
apply=(kubectl apply -f -)
if $dry_run; then
    printf '# '
    printf '%q ' "${apply[@]}"
    printf '\n%s\n' "$manifest"
    exit 0
fi
"${apply[@]}" <<<"$manifest"

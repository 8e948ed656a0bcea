"""Fills in jobset.yaml; prints the manifest. launch.sh checks the values and hands them over."""

import argparse
import pathlib
import sys

import yaml

PORT = 8476


def parse() -> argparse.Namespace:
    """The values, by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("name", "image", "accelerator", "topology", "service_account", "namespace"):
        parser.add_argument(f"--{name}", default="")
    for name in ("hosts", "chips", "gpus", "max_restarts"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--spot", action="store_true")
    parser.add_argument("arguments", nargs="*", help="of elm_jax.main")
    return parser.parse_args()


def manifest(values: argparse.Namespace) -> dict:
    """The JobSet of a run."""
    path = pathlib.Path(__file__).with_name("jobset.yaml")
    out = yaml.safe_load(path.read_text(encoding="utf-8"))
    out["metadata"]["name"] = out["spec"]["network"]["subdomain"] = values.name
    if values.namespace:
        out["metadata"]["namespace"] = values.namespace
    out["spec"]["failurePolicy"]["maxRestarts"] = values.max_restarts
    job = out["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["parallelism"] = job["completions"] = values.hosts
    pod = job["template"]["spec"]
    if values.service_account:
        pod["serviceAccountName"] = values.service_account
    container = pod["containers"][0]
    container["image"] = values.image
    # Kubernetes would put a variable in the place of $(NAME).
    container["args"] = [word.replace("$(", "$$(") for word in values.arguments]
    if values.gpus:
        _of_gpus(out, pod, container, values)
    else:
        pod["nodeSelector"] = {
            "cloud.google.com/gke-tpu-accelerator": values.accelerator,
            "cloud.google.com/gke-tpu-topology": values.topology,
        }
        container["resources"]["limits"] = {"google.com/tpu": values.chips}
    if values.spot:
        pod["nodeSelector"]["cloud.google.com/gke-spot"] = "true"
        taint = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"}
        pod["tolerations"] = [taint | {"effect": "NoSchedule"}]
    return out


def _of_gpus(out: dict, pod: dict, container: dict, values: argparse.Namespace) -> None:
    """GPU nodes: any of the pool, and JAX is told where process 0 is (a TPU slice knows)."""
    del out["metadata"]["annotations"]
    pod["nodeSelector"] = {"cloud.google.com/gke-accelerator": values.accelerator}
    container["resources"]["limits"] = {"nvidia.com/gpu": values.gpus}
    container["ports"] = [{"containerPort": PORT}]
    if values.hosts > 1:
        # Kubernetes sets JOB_COMPLETION_INDEX in every pod of an indexed job.
        container["command"][-1:] = [
            f"--coordinator_address={values.name}-hosts-0-0.{values.name}:{PORT}",
            f"--num_processes={values.hosts}",
            "--process_id=$(JOB_COMPLETION_INDEX)",
        ]
    else:
        del container["command"][-1]


if __name__ == "__main__":
    yaml.safe_dump(manifest(parse()), sys.stdout, sort_keys=False, width=100)

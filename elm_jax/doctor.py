"""``python -m elm_jax.doctor``: what this installation has, and what is missing for what."""

import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import shutil

# Package -> what it is needed for; the base install brings the first group.
BASE = {
    "jax": "everything",
    "flax": "models",
    "optax": "optimisers",
    "orbax-checkpoint": "checkpoints",
    "tensorflow-cpu": "tf.data (or the package tensorflow)",
    "tensorflow-datasets": "shards",
    "array_record": "shards",
    "mne": "reading from mne.io.Raw; the filters' reference",
    "h5py": "ELM's HDF5",
    "transformers": "tokenizers of text towers",
    "ml_collections": "configs",
}
OPTIONAL = {
    "torch": ("pip install -e '.[torch]'", "reading and writing .pt weights; parity tests"),
    "google-cloud-storage": ("pip install -e '.[gcs]'", "workdirs in a bucket, gs://..."),
    "wfdb": ("pip install -e '.[ecg]'", "reading ECG records (WFDB)"),
    "numba": ("pip install -e '.[ecg]'", "training and encoding by ECG-Byte"),
    "pytest": ("make test", "the test suite"),
}
TEXT_TOWER = "ncbi/MedCPT-Query-Encoder"


def version_of(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _line(name: str, value: str, note: str = "") -> None:
    print(f"  {name:<22} {value:<24} {note}".rstrip())


def report_machine() -> None:
    """Python, processor, memory, disk."""
    print("machine")
    _line("python", platform.python_version(), platform.platform())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    _line("cores, memory", f"{os.cpu_count()}, {memory:.0f} GiB")
    _line("free disk here", f"{shutil.disk_usage('.').free / 2**30:.0f} GiB")


def report_packages() -> list[str]:
    """Versions; returns what is missing for what."""
    print("packages")
    missing = []
    for package, purpose in BASE.items():
        version = version_of(package)
        if package == "tensorflow-cpu" and version is None:
            version = version_of("tensorflow")
        _line(package, version or "MISSING", "" if version else f"needed for {purpose}")
        if version is None:
            missing.append(f"{package}: needed for {purpose}; pip install -c constraints.txt -e .")
    for package, (command, purpose) in OPTIONAL.items():
        version = version_of(package)
        _line(package, version or "not installed", "" if version else f"{purpose}: {command}")
    return missing


def report_devices() -> list[str]:
    """JAX's devices; returns what is wrong with them."""
    print("devices")
    try:
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError) as error:
        _line("jax", "no devices", str(error).splitlines()[0])
        return [f"JAX finds no device: {error}"]
    _line(devices[0].platform, f"{len(devices)} x {devices[0].device_kind}")
    if devices[0].platform == "cpu" and shutil.which("nvidia-smi"):
        note = "an NVIDIA driver is here, but this JAX runs on the CPU: pip install -e '.[cuda]'"
        _line("gpu", "not used", note)
        return [note]
    return []


def report_models() -> None:
    """Text towers in the local model cache, and the token for gated ones."""
    print("models and tokens")
    from huggingface_hub import get_token, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = sorted(repo.repo_id for repo in scan_cache_dir().repos)
    except CacheNotFound:
        found = []
    for name in found:
        _line(name, "in the local cache")
    if TEXT_TOWER not in found:
        how = f"for the published recipes: hf download {TEXT_TOWER}; the demo does without"
        _line(TEXT_TOWER, "not found", how)
    note = "" if get_token() else "only for private or gated models: hf auth login"
    _line("Hugging Face token", "found" if get_token() else "none", note)


def report_reference_data() -> None:
    """The folder that parity tests read, beside the checkout."""
    print("reference data (for tests)")
    default = pathlib.Path(__file__).resolve().parents[2] / "shared"
    path = pathlib.Path(os.environ.get("ELM_JAX_SHARED", default))
    there = (path / "golden").is_dir()
    note = "" if there else "parity tests will skip; set ELM_JAX_SHARED to its folder"
    _line("golden values", "found" if there else "not found", note)


def main() -> None:
    """Prints the report; the exit status is 1 if something needed is missing."""
    import absl.logging

    absl.logging.set_verbosity(absl.logging.WARNING)
    print(f"elm_jax {version_of('elm_jax') or '(not installed; run from a checkout)'}")
    report_machine()
    missing = report_packages()
    missing += report_devices()
    if not any(line.startswith("transformers") for line in missing):
        report_models()
    report_reference_data()
    if missing:
        print("\nto do:\n  " + "\n  ".join(missing))
        raise SystemExit(1)
    print("\nall that the base needs is here; next: make demo")


if __name__ == "__main__":
    main()

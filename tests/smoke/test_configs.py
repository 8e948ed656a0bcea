"""Every recipe runs, is locked, and has the numbers that were published."""

import importlib
import json
import logging
import pathlib
import warnings

import pytest
import yaml
from etils import epath
from tiny_by_name import ELECTRODES, SPEC, pretrained_by_name, write_shards_by_name
from tiny_leads import write_tiny_leads
from tiny_nights import write_tiny_nights
from tiny_shards import write_tiny_shards

import configs
from configs import common
from elm_jax import main, train
from elm_jax.models.eeg_sizes import DARE, EEGPT

RECIPES = sorted(
    path.stem
    for path in pathlib.Path(configs.__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "common", "common_ecg")
)


def get_config(name, arg=""):
    return importlib.import_module(f"configs.{name}").get_config(arg)


def mode_of(name):
    return get_config(name).mode


TRAINING = [name for name in RECIPES if mode_of(name) == "train"]
FINISHED = [name for name in RECIPES if mode_of(name) != "train"]
FROM_REPORTS = [name for name in TRAINING if "text" in get_config(name).demo]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    made = {}

    def of(window_s):
        if window_s not in made:
            directory = tmp_path_factory.mktemp("smoke") / "shards"
            made[window_s] = write_tiny_shards(
                directory,
                people=4,
                valid_people=2,
                test_people=2,
                seconds=2 * window_s,
                window_s=window_s,
            )
        return made[window_s]

    return of


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    """The workdir of a tiny model, which the recipes of finished models take."""
    config = get_config("elm_5s", "smoke")
    config.data.dir = str(shards(config.signal.window_s))
    workdir = epath.Path(tmp_path_factory.mktemp("trained"))
    train.train(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def ecgs(tmp_path_factory):
    return write_tiny_leads(tmp_path_factory.mktemp("smoke") / "ecgs")


@pytest.fixture(scope="module")
def trained_on_ecgs(ecgs, tmp_path_factory):
    """The workdir of a tiny model of ECGs and texts."""
    config = get_config("ecg_merl", "smoke")
    config.data.dir = str(ecgs)
    workdir = epath.Path(tmp_path_factory.mktemp("trained_on_ecgs"))
    train.train(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def shards_by_name(tmp_path_factory):
    # Enough electrodes for two views that share few.
    spec = SPEC.replace(channels=(*ELECTRODES, "Fp2", "O2", "Pz"))
    return write_shards_by_name(tmp_path_factory.mktemp("smoke") / "by_name", spec=spec)


@pytest.fixture(scope="module")
def shards_of_nights(tmp_path_factory):
    return write_tiny_nights(tmp_path_factory.mktemp("smoke") / "nights")


@pytest.fixture(scope="module")
def trained_by_name(tmp_path_factory):
    """A folder of a tiny model that reads channels by name."""
    folder = tmp_path_factory.mktemp("trained") / "by_name"
    pretrained_by_name().save_pretrained(folder)
    return folder


@pytest.fixture
def warned(caplog):
    """What a run says at the level of warnings, in its log or through Python; deprecations aside.

    Those are of libraries among themselves, and Python does not show them.
    """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        hidden = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
        yield lambda: [
            *(f"{w.category.__name__}: {w.message}" for w in found if w.category not in hidden),
            *(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING),
        ]


@pytest.mark.parametrize("name", TRAINING)
def test_a_recipe_runs_two_steps(name, request, tmp_path, warned):
    config = get_config(name, "smoke")
    by_name = config.data.get("demo_signal") == "eegpt"
    if by_name:
        config.data.dir = str(request.getfixturevalue("shards_by_name"))
    elif config.data.get("demo_corpus") == "nights":
        config.data.dir = str(request.getfixturevalue("shards_of_nights"))
    elif config.data.get("demo_corpus") == "ecg":
        config.data.dir = str(request.getfixturevalue("ecgs"))
    else:
        config.data.dir = str(request.getfixturevalue("shards")(config.signal.window_s))
    if config.get("demo_model"):  # what ':smoke' would train first
        origin = "trained_by_name" if by_name else "trained"
        config.init_from = str(request.getfixturevalue(origin))
    summary = train.train(config, epath.Path(tmp_path))
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(row)["step"] for row in rows) == 2
    assert 1 <= summary["step"] <= 2 and summary["loss"] > 0  # the best of them, where that counts
    if any(hasattr(settings, "items") for settings in config.evals.values()):
        kinds = ("zero_shot", "classification", "pretext", "retrieval", "superclass")
        assert any(key in summary for key in kinds)
    if name == "relpos_sleep":
        assert warned() == []


@pytest.mark.parametrize("name", FINISHED)
def test_a_recipe_runs_on_a_finished_model(name, shards, request, tmp_path):
    config = get_config(name, "smoke")
    if config.demo_model.startswith("ecg_"):
        data, model = (request.getfixturevalue(n) for n in ("ecgs", "trained_on_ecgs"))
    else:
        data, model = shards(5.0), request.getfixturevalue("trained")
    config.data.dir, config.model = str(data), str(model)
    module, function = main.MODES[config.mode]
    getattr(importlib.import_module(module), function)(config, epath.Path(tmp_path))
    assert (tmp_path / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("name", FINISHED)
def test_a_recipe_of_finished_models_says_what_it_needs(name, tmp_path):
    config = get_config(name)
    module, function = main.MODES[config.mode]
    run = getattr(importlib.import_module(module), function)
    if "query" in config:
        config.query.texts, config.data.dir = ("Abnormal EEG.",), "somewhere"
    with pytest.raises(FileNotFoundError, match=r"--config.model="):
        run(config, epath.Path(tmp_path))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_locked_and_never_shares_what_it_gives(name):
    config = get_config(name)
    with pytest.raises(AttributeError):
        config.nope = 1
    with pytest.raises(AttributeError):
        config.mesh.nope = 1
    config.mesh.data = 123
    assert get_config(name).mesh.data != 123
    with pytest.raises(ValueError, match="'huge'; known: 'demo', 'smoke'"):
        get_config(name, "huge")


@pytest.mark.parametrize("name", RECIPES)
def test_demo_is_the_recipe_with_its_own_visible_overrides(name):
    plain, demo = get_config(name), get_config(name, "demo")
    with plain.unlocked():
        common.apply_overrides(plain, plain.demo.to_dict())
    assert plain.to_dict() == demo.to_dict()


@pytest.mark.parametrize("name", FROM_REPORTS)
def test_demo_learns_a_small_text_tower_from_the_corpus(name):
    plain, demo = get_config(name), get_config(name, "demo")
    assert plain.text.tower.name == "pretrained_bert" and demo.text.tower.name == "scratch_bert"


def test_overrides_of_what_is_not_there_are_refused():
    with pytest.raises(KeyError, match="config.sampler.bag_size"):
        common.apply_overrides(get_config("elm_5s"), {"sampler": {"bag_size": 1}})


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("elm_el", {"name": "soft_target_contrast", "temperature": 0.07}),
        ("elm_e", {"name": "orthogonal_alignment", "gamma": 0.5}),
    ],
)
def test_paired_recipes_are_the_5_s_recipe_with_pairs_and_the_published_constant(name, objective):
    config, bags = get_config(name), get_config("elm_5s")
    sizes = {"signal_projection": (512, 256), "text_projection": (1024, 256)}
    assert config.objective.to_dict() == objective | sizes
    assert config.sampler.name == config.demo.sampler.name == "pairs"
    changed = {"sampler", "objective", "demo"}
    same = [{k: v for k, v in c.to_dict().items() if k not in changed} for c in (config, bags)]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("name", "rows", "sizes"), [("eegpt_pretrain", 64, EEGPT), ("dare_pretrain", 216, DARE)]
)
def test_masked_pretraining_is_the_published_one_in_every_size(name, rows, sizes):
    config = get_config(name)
    settings, cycle = config.optimizer, config.optimizer.schedule
    assert (settings.name, settings.rate, settings.weight_decay) == ("adamw", 5e-4, 1e-6)
    # OneCycleLR(max_lr=5e-4, div_factor=2, final_div_factor=8, pct_start=0.2), 200 epochs
    assert (cycle.kind, cycle.start, cycle.floor, cycle.rise_share) == (
        "one_cycle", 1 / 2, 1 / 2 / 8, 0.2,
    )  # fmt: skip
    assert cycle.total_epochs == 200 and tuple(cycle.momentum) == (0.95, 0.85)
    assert tuple(config.objective.momentum) == (0.996, 1.0)
    assert config.sampler.windows_per_batch == rows
    for word, size in sizes.items():
        config = get_config(name, word)
        encoder, objective = config.encoder, config.objective
        assert (encoder.width, encoder.summary_tokens, encoder.heads) == (
            size.width, size.summary_tokens, size.heads,
        )  # fmt: skip
        depth = encoder.depth, objective.predictor.depth, objective.reconstructor.depth
        assert depth == size.depth
    if name == "dare_pretrain":
        views = config.objective
        assert tuple(views.view_overlap) == (0.2, 0.8) and views.overlap_jitter == 0.05
        weights = views.temperature, views.mask_alignment_weight, views.activation_weight
        assert weights == (0.1, 0.1, 1e-4) and tuple(views.projection) == (512, 256)


@pytest.mark.parametrize(("name", "rate"), [("eegpt_probe", 4e-4), ("dare_conv_probe", 5e-4)])
def test_probes_are_the_published_ones(name, rate):
    config = get_config(name)
    settings, cycle, head = config.optimizer, config.optimizer.schedule, config.objective.head
    assert (settings.name, settings.rate, settings.weight_decay) == ("adamw", rate, 0.01)
    # OneCycleLR(pct_start=0.2) with PyTorch's div_factor=25, final_div_factor=1e4; 100 epochs of 64
    assert (cycle.kind, cycle.start, cycle.rise_share) == ("one_cycle", 1 / 25, 0.2)
    assert cycle.floor == pytest.approx(1 / 25 / 1e4) and cycle.total_epochs == 100
    assert config.sampler.windows_per_batch == 64 and config.objective.encoder_frozen
    assert (head.name, head.hidden, head.dropout) == ("two_stage", 16, 0.5)
    assert tuple(head.max_norm) == (1.0, 0.25) and config.objective.adapter.max_norm == 1.0


@pytest.mark.parametrize(("name", "rows"), [("eegpt_finetune", 200), ("dare_finetune", 400)])
def test_fine_tuning_is_the_published_one_with_what_the_papers_ask_for(name, rows):
    config = get_config(name)
    settings, schedule, objective = config.optimizer, config.optimizer.schedule, config.objective
    assert (settings.name, settings.rate, settings.weight_decay) == ("adamw", 5e-4, 0.05)
    assert schedule.warmup_epochs == 5 and schedule.floor * settings.rate == pytest.approx(1e-6)
    assert settings.layer_decay == 0.65 and config.encoder.drop_path > 0
    assert config.sampler.windows_per_batch == rows and not objective.encoder_frozen
    watch = config.validation
    assert (watch.split, watch.monitor, watch.patience_epochs) == ("valid", "balanced_accuracy", 10)
    if name == "dare_finetune":  # TUEV
        assert (objective.label_smoothing, objective.class_weight) == (0.1, "balanced_root")
        assert tuple(objective.head.dropout) == (0.3, 0.1) and schedule.total_epochs == 30


def test_relative_positioning_is_braindecode_s_example():
    config = get_config("relpos_sleep")
    pairs, settings, watch = config.sampler, config.optimizer, config.validation
    assert (pairs.pairs_per_batch, pairs.pairs_per_recording) == (128, 250)
    assert (pairs.tau_pos_s, pairs.tau_neg_s, pairs.tau_max_s) == (60, 15 * 60, None)
    assert pairs.negatives == "same_recording" and config.data.normalisation == "recording"
    encoder = {k: config.encoder[k] for k in ("filters", "outputs", "dropout", "batch_norm")}
    assert encoder == dict(filters=16, outputs=100, dropout=0.0, batch_norm=True)
    assert config.encoder.name == "sleep_conv" and config.objective.dropout == 0.5
    assert (settings.name, settings.rate, settings.weight_decay) == ("adam", 5e-3, 0)
    assert (settings.schedule.kind, settings.schedule.total_epochs) == ("constant", 25)
    assert (watch.split, watch.monitor, watch.patience_epochs) == ("valid", "loss", 10)
    assert config.checkpoint.use == "best" and config.evals.staging.c == 1.0


@pytest.mark.parametrize("size", ["5s", "60s"])
def test_hyperparameters_are_the_published_ones(size, shared):
    text = (shared / "weights/elm" / size / "config_xy.yaml").read_text()
    published = yaml.safe_load(text)
    model, training, elm = published["model"], published["training"], published["model"]["ELM"]
    config = get_config(f"elm_{size}")
    branches = lambda key: tuple(tuple(b) for b in model[key])  # noqa: E731

    assert config.text.tower.path == elm["LM_pretrained_url"]
    assert elm["LM_freeze_layers"] == 12 and config.text.tower.freeze_layers == -1  # all of them
    assert config.text.mode == elm["text_sample_mode"]
    assert config.text.prefix == elm["text_prefix"]
    # The published list names one heading twice.
    assert config.text.headings == tuple(dict.fromkeys(elm["text_headings"]))

    assert config.sampler.style == elm["MIL_positive_sampling"]
    assert config.sampler.crops_per_bag == elm["MIL_max_eeg_pairs"]
    assert config.sampler.segments_per_bag == elm["MIL_max_text_pairs"]
    assert config.sampler.bags_per_batch == training["batch_size"]

    assert config.encoder.kernels == branches("encoder_conv1_params")
    assert branches("encoder_res_params") == branches("encoder_conv1_params")  # blocks repeat them
    assert config.encoder.pool_sizes == tuple(model["encoder_pool_size"])
    assert len(config.encoder.pool_sizes) == model["encoder_blocks"]
    assert config.encoder.dropout == float(model["encoder_dropout_p"])
    assert config.encoder.res_dropout == float(model["res_dropout_p"])
    assert len(config.signal.channels) == model["in_channels"]
    assert config.signal.sfreq_hz == published["dataset"]["sfreq"]
    assert config.signal.window_s * config.signal.sfreq_hz == model["n_time_samples"]

    assert config.objective.temperature == training["T"]
    assert config.objective.signal_projection == tuple(elm["eeg_proj_size"])
    assert config.objective.text_projection == tuple(elm["text_proj_size"])

    optimizer = config.optimizer
    assert training["use_LARS"] and optimizer.name == "lars" and optimizer.reference_rows == 256
    assert optimizer.rate == training["learning_rate"]
    assert optimizer.weight_decay == training["weight_decay"]
    assert optimizer.schedule.warmup_epochs == training["warmup_epochs"]
    assert optimizer.schedule.total_epochs == training["num_epochs"]
    assert (optimizer.schedule.per, optimizer.schedule.floor) == ("epoch", 0.01)

"""The hub: a whole saved folder goes up, nothing that may not; offline the message helps."""

import dataclasses
import pathlib
import shutil

import pytest
from tiny_parts import assert_same_weights, tiny_parts

from elm_jax.convert import folder, hub
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.parts import ELM_AUTHORS


class LocalHub:
    """What of HfApi is used, over a folder."""

    def __init__(self, place):
        self.place, self.calls = place, []

    def create_repo(self, repo_id, *, private, exist_ok):
        self.calls.append(("create", repo_id, private, exist_ok))
        return f"https://hub/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        self.calls.append(("upload", repo_id, commit_message))
        shutil.copytree(folder_path, self.place / repo_id)


class Unreachable:
    def create_repo(self, repo_id, **kwargs):
        raise ConnectionError("Name or service not known")


def predict(batch):
    return {"features": batch["signal"].mean(axis=(1, 2))[:, None]}


@pytest.fixture(scope="module")
def parts():
    return tiny_parts("projector")


def test_parts_and_folders_go_up_whole(parts, tmp_path):
    api = LocalHub(tmp_path)
    assert hub.push_to_hub(parts, "me/one", predict=predict, api=api) == "https://hub/me/one"
    hub.push_to_hub(tmp_path / "me/one", "me/two", api=api, private=False)
    assert api.calls[0] == ("create", "me/one", True, True) and api.calls[2][2] is False
    for name in ("one", "two"):
        assert_same_weights(folder.read_folder(tmp_path / "me" / name), parts)
    assert (tmp_path / "me/two/verify.py").is_file()


def test_weights_of_elms_authors_stay_unless_leave_was_given(parts, tmp_path):
    theirs, api = dataclasses.replace(parts, origin=ELM_AUTHORS), LocalHub(tmp_path)
    with pytest.raises(hub.NotRedistributable, match="state no licence.*allow_unlicensed"):
        hub.push_to_hub(theirs, "me/one", predict=predict, api=api)
    folder.write_folder(theirs, tmp_path / "saved", predict=predict)
    with pytest.raises(hub.NotRedistributable):
        hub.push_to_hub(tmp_path / "saved", "me/one", api=api)
    assert api.calls == []
    hub.push_to_hub(theirs, "me/one", predict=predict, api=api, allow_unlicensed=True)
    assert len(api.calls) == 2


def test_a_spoilt_folder_does_not_go_up(parts, tmp_path):
    folder.write_folder(parts, tmp_path / "saved", predict=predict)
    path = tmp_path / "saved/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ConvertError):
        hub.push_to_hub(tmp_path / "saved", "me/one", api=LocalHub(tmp_path))


def test_without_a_network_the_upload_says_so(parts):
    with pytest.raises(OSError, match=r"me/one could not be uploaded \(Name or service.*token"):
        hub.push_to_hub(parts, "me/one", predict=predict, api=Unreachable())


def test_a_download_is_a_saved_model_or_says_how_to_get_one(parts, tmp_path, monkeypatch):
    import huggingface_hub

    with pytest.raises(FileNotFoundError, match="me/none.*nor could it be downloaded.*hf download"):
        hub.fetch_hub_folder("me/none")
    for name in ("/tmp/no/such/folder", "runs/a/b/c", "../x", "no such file"):
        with pytest.raises(FileNotFoundError, match="no file or folder"):
            hub.fetch_hub_folder(name)
    folder.write_folder(parts, tmp_path / "cached", predict=predict)
    (tmp_path / "other").mkdir()
    cache = {"me/one": tmp_path / "cached", "me/two": tmp_path / "other"}

    def download(repo_id, *, revision, local_files_only, ignore_patterns):
        if not local_files_only:
            raise ConnectionError("offline")
        return str(cache[repo_id])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetch_hub_folder("me/one") == pathlib.Path(cache["me/one"])
    with pytest.raises(FileNotFoundError, match="me/two.*no model saved by elm_jax"):
        hub.fetch_hub_folder("me/two")

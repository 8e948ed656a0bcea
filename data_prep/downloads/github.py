"""ECG-QA, of its GitHub repository at one commit; git's names of files are digests of them."""

import argparse
import json
import pathlib
import urllib.parse

from data_prep.downloads.base import DownloadError, RemoteFile
from data_prep.downloads.http_files import HttpDownload
from data_prep.downloads.listed import chosen, fits, in_top_folder, safe_path

TREE = "github_tree.json"
_BLOB = "blob"


class EcgQa(HttpDownload):
    """ECG-QA (Oh et al. 2023), release 1.0.2 with the corrections that came after its tag.

    The archive of a repository that GitHub makes has no published digest and cannot be gone on
    with; so the files are fetched one by one, of a commit that never changes.

    Attributes:
      tree_url: GitHub's list of the files of the commit.
      raw_url: where they are.
    """

    name = "ecgqa"
    source = "github.com"
    commit = "3eabbce1c633695a82afe47966aabce4d7caa06b"
    tree_url = f"https://api.github.com/repos/Jwoo5/ecg-qa/git/trees/{commit}?recursive=1"
    raw_url = f"https://raw.githubusercontent.com/Jwoo5/ecg-qa/{commit}"
    parts = ("ecgqa/*", "LICENSE", "README.md")
    by_hand = f"git clone https://github.com/Jwoo5/ecg-qa {{to}} && git -C {{to}} checkout {commit}"
    next_command = (
        "python -m data_prep.dialogues ecgqa_ptbxl --input {to} --records PREPARED_PTBXL "
        "--out ecgqa.jsonl"
    )
    options = ("only",)

    def files(self, args: argparse.Namespace) -> list[RemoteFile]:
        """The questions that are asked for, by git's tree of the commit, which is fetched first.

        Raises:
          DownloadError: the tree cannot be had or read, or ``--only`` fits nothing.
        """
        path = pathlib.Path(args.to) / TREE
        listed = self.listed(self.tree_url, path, read_tree, keep=not args.dry_run)
        parts = [p for p in listed if fits(p, self.parts)]
        return [
            RemoteFile(p, listed[p], "git", f"{self.raw_url}/{urllib.parse.quote(p)}")
            for p in chosen(parts, args.only, always=in_top_folder)
        ]


def read_tree(data: bytes, source: str) -> dict[str, str]:
    """Path -> git's digest, of GitHub's answer about a tree.

    Args:
      data: the answer, JSON.
      source: of it, for messages.

    Raises:
      DownloadError: it is something else, or not all of the tree.
    """
    try:
        values = json.loads(data)
        listed = {
            safe_path(e["path"], source): e["sha"] for e in values["tree"] if e["type"] == _BLOB
        }
        cut = values["truncated"]
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{source}: expected GitHub's list of a tree ({type(error).__name__}: {error}); if it "
            "is a file here, delete it: it is fetched again"
        ) from error
    if cut or not listed:
        raise DownloadError(f"{source}: is not the whole tree; if it is a file here, delete it")
    return listed

import pytest
from tiny_shards import write_tiny_shards


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_shards(tmp_path_factory.mktemp("tiny") / "shards")

"""What the tests of the engine share."""

from pathlib import Path

import pytest

from workers.datasets import bundled


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled data sets, ingested."""
    path = tmp_path_factory.mktemp("datasets")
    bundled.ingest(path)
    return path

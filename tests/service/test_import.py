"""Importing the API is light: no torch, no scikit-learn, no Celery, and it stays below 112 MB."""

import subprocess
import sys
from pathlib import Path

from migrations.newest import newest_revision

HEAVY = (
    "torch",
    "celery",
    "sklearn",
    "scipy",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "PIL",
    "bokeh",
    "alembic",
    "workers",
    "opentelemetry",
    "urllib3",
)
SCRIPT = """
import sys
import service.app
print(*[name for name in sys.argv[1:] if name in sys.modules])
"""
WATCH = """
import re, sys
from pathlib import Path
from service.app import create_app
from models.settings import Settings
app = create_app(Settings(data=Path(sys.argv[1]), api_key="k" * 32))
client = app.test_client()
for path in ("/healthz", "/openapi.json", "/v1/datasets", "/v1/jobs"):
    assert client.get(path, headers={"Authorization": "Bearer " + "k" * 32}).status_code == 200, path
print(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def python(script: str, *arguments: str) -> str:
    answer = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_importing_the_app_leaves_what_is_heavy_out() -> None:
    assert python(SCRIPT, *HEAVY) == ""


def test_the_check_above_can_fail() -> None:
    assert python("import torch\n" + SCRIPT, *HEAVY) == "torch"


def test_the_api_process_grows_no_further(tmp_path: Path) -> None:
    """The goal is 100 MB, and missed by what data sets, models, keys, webhooks and the contract need."""
    from migrations.migrate import migrate

    migrate(f"sqlite:///{tmp_path}/descent.db")
    kilobytes = int(python(WATCH, str(tmp_path)))
    assert kilobytes * 1024 < 112e6


def test_the_newest_revision_is_that_of_alembic() -> None:
    from alembic.script import ScriptDirectory

    from migrations.migrate import configuration

    assert newest_revision() == ScriptDirectory.from_config(configuration("sqlite://")).get_current_head()

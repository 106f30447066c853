"""What README tells people to paste runs as it stands."""

import re
import shlex
from pathlib import Path

from pruneexp.engine.store import Store
from tests.test_sweep import pruneexp

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_your_own_model_and_data_run_as_pasted(tmp_path: Path) -> None:
    section = README.partition("## Your own model, data and YAML")[2].partition("\n## ")[0]
    code = "\n\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    (tmp_path / "mine.py").write_text(code)
    commands = re.findall(r"```\npruneexp (.*?)```", section, re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command.replace("\\\n", " "))
        done = pruneexp(*words, "training.steps=20", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len(Store(tmp_path / "results").folders()) == 2

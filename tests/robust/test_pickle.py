"""Nothing that can run code is ever read: no module calls an unpickler, no model or adapter is taken from one."""

import ast
import pickle
from pathlib import Path

import pytest
import torch

from spillover.errors import UserError
from spillover.models.adopted import resolve_adapter
from spillover.models.resolve import resolve_model
from spillover.models.spec import ResolvedModel

SOURCES = sorted((Path(__file__).parents[2] / "src" / "spillover").rglob("*.py"))
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNPICKLERS = {"torch.load", "numpy.load", "np.load", "pandas.read_pickle", "torch.hub.load", "yaml.unsafe_load"}


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        return Path.touch, (self.sprung,)


def test_no_module_imports_or_calls_what_unpickles():
    assert len(SOURCES) > 100
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            allows = isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "trust_remote_code"}
            allows = allows and ast.unparse(node.value) != "False"
            if {name.partition(".")[0] for name in names} & PICKLING or called in UNPICKLERS or allows:
                found.append(f"{path.name}:{node.lineno if hasattr(node, 'lineno') else ''}: {ast.unparse(node)}")
    assert not found


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "consolidated.ckpt"])
def test_a_pickled_model_is_refused_unread(tmp_path, made_study_file, name):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for kept in (made_study_file.parent / "model").glob("*.json"):
        (folder / kept.name).write_bytes(kept.read_bytes())
    sprung = tmp_path / "sprung"
    (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UserError, match=r"no model\.safetensors .*files, which can run code and are never read"):
        resolve_model(str(folder), cache=tmp_path / "cache", notice=print)
    assert not sprung.exists()


def test_a_pickled_adapter_is_refused_unread(tmp_path):
    folder, sprung = tmp_path / "adapter", tmp_path / "sprung"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    torch.save({"weight": Trap(sprung)}, folder / "adapter_model.bin")
    base = ResolvedModel("made", tmp_path, "0" * 64, "1" * 64, 10**6, "base", "none", 512)
    with pytest.raises(UserError, match=r"its \.bin file can run code and is never read"):
        resolve_adapter(folder, base, cache=tmp_path / "cache", notice=print)
    assert not sprung.exists()

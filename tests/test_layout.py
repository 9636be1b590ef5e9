import ast
import sys
from pathlib import Path

from tests.file_map import PAGE, with_map

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "spillover"
OPEN_TO_ALL = {"errors", "records", "registry", "settings", "__init__"}
OF_COMMANDS = {
    *{
        "api",
        "config",
        "completion",
        "progress",
        "study",
        "sources",
        "steps",
        "store",
        "report",
        "analysis",
        "statistics",
    },
    *{"evaluation", "models", "tasks", "prompts", "artifacts", "training", "questions", "lint", "own_data"},
}
OF_QUESTIONS = {
    *{"question", "study", "steps", "store", "report", "analysis", "statistics", "evaluation"},
    *{"models", "tasks", "prompts", "training"},
}
BELOW_STUDY = {
    "sources",
    "steps",
    "store",
    "training",
    "evaluation",
    "statistics",
    "tasks",
    "prompts",
    "models",
    "artifacts",
}
ALLOWED = {
    "cli": OF_COMMANDS | {"commands"},
    "question": {"analysis", "statistics", "report", "study", "steps", "store", "tasks"},
    "questions": OF_QUESTIONS,
    "commands": OF_COMMANDS,
    "api": OF_COMMANDS - {"api", "lint", "own_data"},
    "config": {"question", "questions", "resolving", "study", "models"},
    "resolving": {"question", "study", "sources", "steps", "models", "tasks", "training", "artifacts", "evaluation"},
    "completion": {"lint", "study", "steps", "store", "training", "models"},
    "__main__": {"cli"},
    "progress": {"study", "steps"},
    "lint": {"study"} | BELOW_STUDY,
    "own_data": {"tasks", "prompts", "artifacts", "statistics"},
    "study": BELOW_STUDY,
    "sources": {"steps", "evaluation", "tasks", "prompts", "models", "artifacts"},
    "steps": {"store", "training", "evaluation", "tasks", "prompts", "models"},
    "store": {"evaluation", "tasks", "prompts", "artifacts"},
    "report": {"analysis", "statistics"},
    "training": {"tasks", "prompts", "models"},
    "evaluation": {"tasks", "prompts", "models", "artifacts"},
    "tasks": {"prompts", "artifacts"},
    "models": {"prompts", "artifacts"},
    "prompts": set(),
    "analysis": {"statistics"},
    "statistics": set(),
    "artifacts": set(),
    "settings": {"artifacts"},
}
TORCH_ROOMS = {"models", "training"}
TORCH = {"torch", "transformers", "accelerate", "peft", "safetensors", "bitsandbytes"}
NUMBERS_ONLY = {"numpy", "scipy"}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path):
    """Yield (module, at import time) for every import that runs; those for type checkers alone do not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        skipped = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in [] if skipped else ast.walk(node):
            at_import = isinstance(node, ast.Import | ast.ImportFrom)
            if isinstance(inner, ast.Import):
                yield from ((alias.name, at_import) for alias in inner.names)
            elif isinstance(inner, ast.ImportFrom):
                assert inner.level == 0, f"{path} imports relatively"
                yield inner.module, at_import
                if inner.module == "spillover":
                    yield from ((f"spillover.{alias.name}", at_import) for alias in inner.names)


def test_rooms_import_only_what_the_map_of_rooms_allows():
    wrong = []
    for path in modules():
        room = room_of(path)
        for module, _ in imported_modules(path):
            target = module.split(".")[1] if module.startswith("spillover.") else None
            if target and target != room and target not in OPEN_TO_ALL | ALLOWED.get(room, set()):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong


def test_no_question_imports_another():
    rooms = PACKAGE / "questions"
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted(rooms.glob("*/**/*.py"))
        for module in imports_of(path)
        if module.startswith("spillover.questions.") and module.split(".")[2] != path.relative_to(rooms).parts[0]
    ]
    assert not wrong


def test_the_raw_answer_is_read_where_the_chosen_one_is_made_and_nowhere_else():
    readers = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "raw_answer"
    }
    assert readers == {"evaluation/choice.py"}


def test_every_room_is_on_the_map_of_rooms():
    assert {room_of(path) for path in modules()} - OPEN_TO_ALL == set(ALLOWED) - OPEN_TO_ALL


def test_torch_is_imported_only_where_models_run():
    allowed = {PACKAGE / "prompts" / "encoding.py", PACKAGE / "commands" / "terminal.py", PACKAGE / "api.py"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules()
        if room_of(path) not in TORCH_ROOMS and path not in allowed
        for module, _ in imported_modules(path)
        if module.split(".")[0] in TORCH
    ]
    assert not wrong


def test_scipy_is_loaded_only_where_it_is_used():
    loaded = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules()
        for module, at_import in imported_modules(path)
        if at_import and module.split(".")[0] == "scipy"
    ]
    assert not loaded, "it takes half a second: import it inside the function, or take it from statistics.distributions"


def test_analysis_sees_arrays_and_records_only():
    known = NUMBERS_ONLY | {"spillover"} | set(sys.stdlib_module_names)
    wrong = [
        f"{path.name} imports {module}"
        for room in ("analysis", "statistics")
        for path in (PACKAGE / room).glob("*.py")
        for module, _ in imported_modules(path)
        if module.split(".")[0] not in known
    ]
    assert not wrong


def test_the_map_of_files_names_every_module_with_its_first_line():
    page = PAGE.read_text(encoding="utf-8")
    assert with_map(page) == page, "docs/architecture.md is out of date; run: python -m tests.file_map"


def imports_of(path: Path) -> set[str]:
    """Return the modules of the package that a file names in any import, those for type checkers alone included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spillover"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_files_import_each_other_in_a_circle():
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in modules()}
    needs = {name: imports_of(path) & names.keys() - {name} for name, path in names.items()}
    while free := {name for name, own in needs.items() if not own & needs.keys()}:
        needs = {name: own for name, own in needs.items() if name not in free}
    assert not needs, "each of these files needs another one of them"


def defined_names(module: str) -> set[str]:
    """Return what a module of the package defines or imports at its top, without importing it."""
    place = ROOT / "src" / Path(*module.split("."))
    tree = ast.parse((place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    names |= {inner.id for node in tree.body for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    files = {path.stem for path in place.glob("*.py")} if place.is_dir() else set()
    return names | files


def test_benchmarks_import_what_exists():
    missing = [
        f"{path.name}: {node.module}.{alias.name}"
        for path in sorted((ROOT / "benchmarks").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spillover")
        for alias in node.names
        if alias.name not in defined_names(node.module)
    ]
    assert not missing

"""Nothing that only POSIX systems have is asked for, so that every command works on Windows."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import spillover

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    *{"os.fork", "os.forkpty", "os.getuid", "os.geteuid", "os.getgid", "os.getpgid", "os.killpg", "os.mkfifo"},
    *{"os.chown", "os.lchown", "os.nice", "os.setsid", "os.sched_getaffinity", "os.sysconf", "os.statvfs", "os.uname"},
    *{"os.wait", "os.O_NOFOLLOW", "os.O_DIRECTORY", "signal.SIGKILL", "signal.SIGHUP", "signal.alarm"},
}
"""What the modules that every system has hold on POSIX systems alone."""


def test_no_command_asks_for_what_only_posix_has():
    for path in Path(spillover.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not MODULES & set(names), path
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) in NAMES), (path, node.lineno)


def test_a_step_is_locked_and_written_without_posix_modules(tmp_path):
    """torch and typer ask for some of the modules on every system but Windows; a store must do without them."""
    code = f"""
        import sys
        for name in {sorted(MODULES - {"posix"})!r}:
            sys.modules[name] = None
        from pathlib import Path
        from spillover.store.store import Store
        from tests.store.test_store import Kept
        store, step = Store(Path({str(tmp_path)!r})), Kept("predict", "k")
        assert store.write(step, lambda folder: (folder / "result").write_text("one") and {{}})
        assert store.file(step, "result").read_text() == "one"
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 0

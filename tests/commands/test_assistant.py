"""The server as assistants meet it: the SDK's own client, over the pipes of a process."""

import asyncio
import builtins
import json
import os
import subprocess
import sys
import time

import pytest

from spillover.config import load_study
from spillover.questions import answered
from spillover.store.store import Store
from spillover.study.results import collect
from tests.commands.called import call
from tests.study.made_study import make_study

mcp = pytest.importorskip("mcp")
READING = {"list_studies", "read_verdicts", "list_cells", "show_items", "plan", "status"}


def served(folder, store, asked, *options):
    """Start a server and return what ``asked(ask, tools)`` does with it; ``ask`` calls a tool."""
    command = ["-m", "spillover", "mcp", str(folder), "--store", str(store), *options]
    server = mcp.StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))

    async def session():
        async with mcp.Client(server) as client:

            async def ask(tool, **arguments):
                found = await client.call_tool(tool, arguments)
                return found.content[0].text if found.is_error else found.structured_content

            await asked(ask, {tool.name: tool for tool in (await client.list_tools()).tools})

    asyncio.run(session())


def test_an_assistant_reads_studies_verdicts_items_and_plans_and_can_run_nothing(finished_study):
    path, store = finished_study
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    expected = answered(collect(study, Store(store), command="")).verdicts

    async def asked(ask, tools):
        assert tools.keys() == READING
        assert all(tool.description and tool.annotations.read_only_hint for tool in tools.values())
        found = await ask("list_studies")
        assert found == {"studies": [{"study": "study.yaml", "base": "./model"}], "reports": []}

        found = await ask("read_verdicts", source="study.yaml")
        told = [(item["light"], item["sentence"], item["evidence"]) for item in found["verdicts"]]
        assert told == [(item.light, item.sentence, list(item.evidence)) for item in expected]
        assert "differences" not in found
        found = await ask("read_verdicts", source="study.yaml", variant="fticl")
        assert [item["name"] for item in found["differences"]] == ["fticl/first/16/0"]
        assert all(row["all_cells"].keys() == {"value", "low", "high"} for row in found["differences"][0]["readings"])

        cells = (await ask("list_cells", study="study.yaml", variant="fticl"))["cells"]
        assert {"cell": "fticl/first/16/0:second:2", "finished": True} in cells
        assert len(cells) == 6
        found = await ask("show_items", study="study.yaml", cell="fticl:second:2", limit=2)
        assert found["item_count"] == 10
        assert [item.keys() >= {"prompt", "target", "base", "variant"} for item in found["items"]] == [True, True]
        lost = await ask("show_items", study="study.yaml", cell="fticl:second:2", only="regressions", limit=50)
        assert all(item["variant"]["score"] < item["base"]["score"] for item in lost["items"])

        assert all(step["done"] for step in (await ask("plan", study="study.yaml"))["steps"])
        steps = (await ask("status", study="study.yaml"))["steps"]
        assert sum(count["to_do"] for count in steps.values()) == 0

        assert "did you mean 'second'" in await ask("show_items", study="study.yaml", cell="fticl:secnod:2")
        assert "outside the folder that is served" in await ask("plan", study="../study.yaml")
        assert "outside the folder that is served" in await ask("read_verdicts", source="/etc/summary.json")
        assert "limit is 0" in await ask("show_items", study="study.yaml", cell="fticl:second:2", limit=0)
        assert "run" in await ask("run", study="study.yaml")

    served(path.parent, store, asked)


def test_an_assistant_that_may_runs_a_study_and_gates_it(tmp_path, capfd):
    path = make_study(tmp_path)
    text = path.read_text().replace(
        "  - {name: fticl, train_on: first, sizes: [16], recipe: {demonstrations: 2}}\n", ""
    )
    path.write_text(text.replace("[first, words]", "first").replace("shots: [0, 2]", "shots: [0]\ntest_on: [first]"))

    async def asked(ask, tools):
        assert tools.keys() == READING | {"run", "read_log", "gate"}
        assert "nothing has been run" in await ask("read_log")
        assert "no such file" in await ask("run", study="stduy.yaml")
        assert (await ask("run", study="study.yaml"))["is_running"]
        assert "is running; wait for its end" in await ask("run", study="study.yaml")
        until = time.monotonic() + 300
        while (found := await ask("read_log"))["is_running"]:
            assert time.monotonic() < until, found
            await asyncio.sleep(0.5)
        assert found["exit_code"] == 0, found
        assert "report: report/study/index.html" in found["log"]
        (report,) = (await ask("list_studies"))["reports"]
        assert (report["report"], report["of"]) == ("report/study/summary.json", "study")
        gated = await ask("gate", source=report["report"], max_loss=0.99)
        code = call("gate", tmp_path / report["report"], "--max-loss", "0.99", "--json")
        assert gated == json.loads(capfd.readouterr().out)
        assert {"pass": 0, "fail": 3, "undecided": 4}[gated["outcome"]] == code
        assert "unknown variant" in await ask("gate", source=report["report"], variants=["stf"])
        options = {"max_loss": 0.9, "max_task_loss": 0.0, "named": {"in-domain": 0.01}, "undecided": "fail"}
        gated = await ask("gate", source=report["report"], **options)
        told = ("--max-loss", "0.9", "--max-task-loss", "0", "--max-loss", "in-domain=0.01", "--undecided", "fail")
        assert call("gate", tmp_path / report["report"], *told, "--json") == 3
        assert gated == json.loads(capfd.readouterr().out)
        assert "unknown relation" in await ask("gate", source=report["report"], named={"in-domian": 0.1})
        assert "max_task_loss is 2" in await ask("gate", source=report["report"], max_task_loss=2.0)

    served(tmp_path, tmp_path / "store", asked, "--allow-run")


def test_nothing_but_the_protocol_is_on_standard_output(finished_study, tmp_path):
    path, store = finished_study
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "noisy", "arguments": {}}},
        {
            "jsonrpc": "2.0",
            "id": 3,
            "method": "tools/call",
            "params": {"name": "plan", "arguments": {"study": "x.yaml"}},
        },
    ]
    # A tool that says something in every way there is, beside those of the command.
    program = (
        "import os, subprocess, sys\n"
        "from spillover.commands.desk import Desk\n"
        "from spillover.commands.terminal import terminal\n"
        "def noisy(self) -> dict[str, int]:\n"
        "    'Talk.'\n"
        "    print('PRINTED', flush=True); os.write(1, b'WRITTEN\\n'); terminal.notice('NOTICED')\n"
        "    subprocess.run(['echo', 'ECHOED'], check=True)\n"
        "    return {'said': 4}\n"
        "noisy.__name__ = 'noisy'\n"
        "Desk.status = noisy\n"
        "from spillover.cli import main\n"
        f"main(['mcp', {str(path.parent)!r}, '--store', {str(store)!r}])\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    answers, lines = {}, []
    server.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
    server.stdin.flush()
    while answers.keys() < {1, 2, 3}:
        lines.append(server.stdout.readline())
        answers |= {found["id"]: found["result"] for found in [json.loads(lines[-1])] if "id" in found}
    rest, said = server.communicate(timeout=60)
    assert rest == ""
    assert answers[2]["structuredContent"] == {"said": 4}
    assert "no such" in answers[3]["content"][0]["text"] or "x.yaml" in answers[3]["content"][0]["text"]
    assert all(word in said for word in ("PRINTED", "WRITTEN", "NOTICED", "ECHOED"))
    assert server.returncode == 0


def test_without_the_package_the_command_says_how_to_get_it(monkeypatch, capsys):
    real = builtins.__import__

    def absent(name, *rest):
        if name.split(".")[0] == "mcp":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert call("mcp") == 2
    assert "pip install 'spillover[mcp]'" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    assert call("mcp", tmp_path / "none") == 2
    assert "no such folder" in capsys.readouterr().err

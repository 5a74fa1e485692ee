"""An installed package, tried without its checkout: ``python -I installed.py README.md``, in an empty folder.

Whatever the environment has is tried: the library alone must import; with the application the examples of the public
face and of the README run, and `ztf serve` registers the deployments and runs one.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

PORT = 4297
API = f"http://127.0.0.1:{PORT}/api"
PATIENCE = 600  # seconds


def import_library() -> None:
    package = importlib.import_module("ztf_in2p3")
    require("site-packages" in str(package.__file__), f"not the installed package: {package.__file__}")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "ztf_in2p3.")]
    for name in names:
        importlib.import_module(name)
    say(f"{len(names)} modules import; built from {importlib.import_module('ztf_in2p3._build').COMMIT}")


def run_examples(readme: Path) -> None:
    notebook = importlib.import_module("ztf_in2p3.notebook")
    for module in pkgutil.iter_modules(notebook.__path__, "ztf_in2p3.notebook."):
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        tried = doctest.testmod(importlib.import_module(module.name), optionflags=options)
        require(tried.failed == 0, f"{module.name}: {tried}")
        say(f"{module.name}: {tried.attempted} examples")
    for number, script in enumerate(re.findall(r"^```python\n(.*?)^```", readme.read_text(), re.M | re.S)):
        Path(f"readme_{number}.py").write_text(script)
        subprocess.run([sys.executable, f"readme_{number}.py"], check=True, stderr=subprocess.DEVNULL)
        say(f"script {number} of the README runs")


def try_commands() -> None:
    command = str(Path(sys.executable).with_name("ztf"))
    for words, code in ((["--version"], 0), (["nightly", "--help"], 0), (["catalogue", "2019", "store"], 2)):
        ended = subprocess.run([command, *words], capture_output=True, text=True)
        require(ended.returncode == code, f"ztf {' '.join(words)}: {ended.stdout}{ended.stderr}")
    settings = importlib.import_module("tasks.runtime.settings")
    require("site-packages/tasks/deployments" in str(settings.deployments()), str(settings.deployments()))


def try_serve() -> None:
    """A deployment finds the store of the README's script in the folder where `serve` was started."""
    command = [str(Path(sys.executable).with_name("ztf")), "serve", "--home", "served", "--port", str(PORT)]
    with Path("serve.log").open("w") as log:
        serving = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        of_catalogue = {"flows": {"name": {"any_": ["catalogue"]}}}
        (deployment,) = wait_for("deployments/filter", bool, serving, **of_catalogue)
        which = {"period": "20190405", "store": "store", "camera": "tiny", "ccds": [3], "filters": ["zr"]}
        run = ask(f"deployments/{deployment['id']}/create_flow_run", parameters=which, state={"type": "SCHEDULED"})
        of_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        (ended,) = wait_for("flow_runs/filter", is_over, serving, **of_run)
        require(ended["state_type"] == "COMPLETED", str(ended["state"]))
        say(f"serve ran {ended['name']}: {ended['state']['message']}")
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait()


def is_over(runs: list[dict[str, Any]]) -> bool:
    return bool(runs) and runs[0]["state_type"] in ("COMPLETED", "FAILED", "CRASHED")


def wait_for(what: str, is_ready: Any, serving: subprocess.Popen, **body: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and serving.poll() is None:
        time.sleep(1)
        try:
            answer = ask(what, **body)
        except OSError:
            continue
        if is_ready(answer):
            return answer
    raise SystemExit(f"{what}: no answer as expected; {Path('serve.log').read_text()[-3000:]}")


def ask(what: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"{API}/{what}", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    return json.loads(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).read())


def require(condition: bool, problem: str) -> None:
    if not condition:
        raise SystemExit(f"the installed package fails: {problem}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.pop("PREFECT_API_URL", None)
    import_library()
    if importlib.util.find_spec("prefect"):
        run_examples(Path(sys.argv[1]))
        try_commands()
        try_serve()
    else:
        say("without Prefect, as a library alone")

"""A script without ``if __name__ == "__main__"`` may use worker processes: they do not run it again."""

import subprocess
import sys

SCRIPT = """
print("the script runs", flush=True)
import operator
from concurrent.futures import ProcessPoolExecutor
from ztf_in2p3.spawned import spawning

with ProcessPoolExecutor(2, mp_context=spawning()) as pool:
    print(sum(pool.map(operator.neg, range(4))))
"""


def test_a_plain_script_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (run.stdout.split("\n"), run.returncode) == (["the script runs", "-6", ""], 0), run.stderr

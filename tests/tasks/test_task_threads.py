"""What is relied on inside of the orchestrator: that a runner of threads can be opened anew with more of them."""

import threading

from tasks.runtime.product_flow import TaskThreads


def test_a_widened_runner_has_so_many_tasks_under_way():
    together = threading.Barrier(4)
    with TaskThreads(max_workers=1) as runner:
        runner.widen(4)
        waiting = [runner._executor.submit(together.wait, timeout=30) for _ in range(4)]
        assert sorted(future.result() for future in waiting) == [0, 1, 2, 3]

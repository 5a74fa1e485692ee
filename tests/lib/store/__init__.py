import pytest

pytest.register_assert_rewrite("tests.lib.store.contract")

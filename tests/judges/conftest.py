"""A sandbox test on a host that offers no safe tier asserts the refusal and is then over: passed, not skipped."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    try:
        return (yield)
    except Exception as error:
        if type(error).__name__ != "Refused" or type(error).__module__ != pyfuncitem.module.__name__:
            raise
        return True

"""Tests that take too long to run always: they run with WESLEY_LONG_TESTS=1 in the environment."""

import os

import pytest

takes_long = pytest.mark.skipif(
    not os.environ.get("WESLEY_LONG_TESTS"), reason="takes long: set WESLEY_LONG_TESTS=1 to run it"
)

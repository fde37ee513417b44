import pytest

from tests.cli.conftest import gate, program
from tests.cli.program import Gate, Program
from tests.signals.family import Family

__all__ = ["gate", "program"]


@pytest.fixture
def family(program: Program, gate: Gate) -> Family:
    return Family(program, gate)

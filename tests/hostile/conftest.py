from tests.cli.conftest import gate, program

__all__ = ["gate", "program"]

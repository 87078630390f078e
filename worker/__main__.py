"""`python -m worker`."""

from worker.cli import cli

if __name__ == "__main__":
    cli(prog_name="python -m worker")

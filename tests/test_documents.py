"""What documents show is what the code gives."""

from click.testing import CliRunner

from benchmarks import table
from scripts import example_dispute


def test_the_worked_example_of_a_dispute_is_up_to_date():
    """Protects readers: every hash in docs/dispute.md is one that a dispute would show."""
    result = CliRunner().invoke(example_dispute.main, ["--check"])
    assert result.exit_code == 0, result.output


def test_readmes_table_of_speed_is_what_was_measured():
    """Protects readers: every ratio in README's table is in the committed results."""
    text = table.README.read_text()
    start, end = table.within(text)
    assert text[start:end] == table.table(), "python -m benchmarks.table --write"

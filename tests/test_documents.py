"""What documents show is what the code gives."""

from click.testing import CliRunner

from scripts import example_dispute


def test_the_worked_example_of_a_dispute_is_up_to_date():
    """Protects readers: every hash in docs/dispute.md is one that a dispute would show."""
    result = CliRunner().invoke(example_dispute.main, ["--check"])
    assert result.exit_code == 0, result.output

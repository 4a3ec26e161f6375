import pytest
import typer
from typer.testing import CliRunner

from scgim.cli._multi_value import MultiValueCommand, repeat_option_names


@pytest.fixture
def run():
    app = typer.Typer()

    @app.command(cls=MultiValueCommand)
    def command(
        name: str, seeds: list[int] = typer.Option([7]), json: str = typer.Option("none")
    ) -> None:
        typer.echo(f"{name} {seeds} {json}")

    def invoke(*arguments):
        return CliRunner().invoke(app, list(arguments))

    return invoke


@pytest.mark.parametrize(
    "arguments",
    [
        ["x", "--seeds", "10", "11", "12", "--json", "f"],
        ["x", "--json", "f", "--seeds", "10", "11", "12"],
        ["x", "--seeds", "10", "--seeds", "11", "--seeds", "12", "--json", "f"],
        ["x", "--seeds", "10", "11", "--json=f", "--seeds", "12"],
    ],
)
def test_values_may_follow_one_another_or_repeat_the_name(run, arguments):
    assert run(*arguments).output.strip() == "x [10, 11, 12] f"


def test_one_value_and_the_default_still_work(run):
    assert run("x", "--seeds", "3").output.strip() == "x [3] none"
    assert run("x").output.strip() == "x [7] none"


def test_value_that_is_no_number_is_refused(run):
    result = run("x", "--seeds", "1", "two")
    assert result.exit_code == 2
    assert "--seeds" in result.output


def test_option_without_a_value_is_refused(run):
    assert run("x", "--seeds").exit_code == 2


def test_other_options_keep_their_single_value():
    arguments = ["--json", "a", "b", "--seeds", "1"]
    assert repeat_option_names(arguments, {"--seeds"}) == arguments

"""A command for the tests of lazy groups."""

import click


@click.command()
@click.option("--name", required=True)
def greet(name: str) -> None:
    """Say hello."""
    click.echo(f"hello {name}")

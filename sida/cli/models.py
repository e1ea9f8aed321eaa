"""`sida models`: the models with a name."""

import typer


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(models)


def models() -> None:
    """List."""

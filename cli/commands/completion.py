"""`descent completion`: a script by which a shell completes commands, options and ids."""

import click

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DESCENT_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion of a shell.

    \b
    bash: eval "$(descent completion bash)"    in ~/.bashrc
    zsh:  eval "$(descent completion zsh)"     in ~/.zshrc
    fish: descent completion fish | source     in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "descent", VARIABLE).source())

"""``laundry push-keys``: the key pair of Web Push."""

import typer

from laundry.commands.audited import audited


def push_keys() -> None:
    """Make a random key pair for Web Push; it is printed and not stored."""
    from laundry.push_keys import new_private_key, public_key  # noqa: PLC0415 - help needs no cryptography

    private = new_private_key()
    public = public_key(private)
    with audited("push.keygen", public):
        typer.echo(f"LAUNDRY_WEB_PUSH_PRIVATE_KEY={private}")
    typer.echo(
        f"""
That line is a secret: only notification may have it, and your vault (in the chart: `web-push-key` in its
Secret). Beside it notification needs LAUNDRY_WEB_PUSH_SUBJECT (in the chart: `push.webPush.subject`), a real
address where the push services of Google, Mozilla, Apple and Microsoft can write to you: mailto:… or https://….

Browsers subscribe with the public half, {public}.
Keep the pair: with another one every browser has to subscribe again, which it does when its owner next opens
the pages. Until then no alert reaches it.""",
        err=True,
    )

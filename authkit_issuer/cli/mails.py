"""``authkit mails``: the texts of mails."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment

from authkit_issuer.cli import output
from authkit_issuer.cli.output import AsJson
from authkit_issuer.cli.refusals import UsageError
from authkit_issuer.config import Config, process_environment
from authkit_issuer.senders import configured
from authkit_issuer.senders.mails import KINDS, Mail
from authkit_issuer.senders.samples import sample

app = typer.Typer(no_args_is_help=True, help="The texts of mails.")

_INDEX = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mails</title>
<style>
:root { color-scheme: light dark; }
body { margin: 2rem; font: 16px/1.5 system-ui, sans-serif; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem; }
h2 { margin: 0; font-size: 1rem; }
p { margin: 0 0 0.4rem; }
iframe { width: 100%; height: 30rem; border: 1px solid #8886; border-radius: 8px; resize: both; }
</style>
<h1>Mails in {{ language }}</h1>
<main>
{% for kind, mail in mails.items() %}
<section>
<h2>{{ kind }}</h2>
<p>{{ mail.subject }} (<a href="{{ kind }}.html">HTML</a>, <a href="{{ kind }}.txt">text</a>)</p>
<iframe sandbox loading="lazy" src="{{ kind }}.html" title="{{ kind }}"></iframe>
</section>
{% endfor %}
</main>
</html>
""")


@app.callback()
def _group() -> None:
    """Keep this a group although it has one command."""


@app.command("preview")
def preview(
    *,
    language: Annotated[
        str, typer.Option(help="The language, such as de; by default that of AUTHKIT_MAIL_LANGUAGE.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="The folder to write to; by default a new temporary one.")
    ] = None,
    show: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the index in a browser; by default on a terminal."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a sample of every kind of mail as HTML and text, and open an index of them."""
    # A mail needs neither issuer nor audience; serve checks them.
    issuer = process_environment().get("AUTHKIT_ISSUER", "https://auth.example.com")
    config = Config.from_env(process_environment(), issuer=issuer, issued_audiences=("-",))
    templates = configured.mails(config)
    chosen = language.lower() or config.mail_language
    if chosen not in templates.languages:
        raise UsageError(
            f"There are no templates in {language!r}: the languages are {', '.join(templates.languages)}."
        )
    made = {kind: templates.render(sample(kind), chosen) for kind in KINDS}
    index = _write(folder or Path(tempfile.mkdtemp(prefix="authkit-mails-")), chosen, made)
    document = {"done": "written", "index": str(index), "kinds": list(made)}
    output.say(document, f"{len(made)} mails are in {index}", as_json=as_json)
    if show if show is not None else sys.stdout.isatty() and not as_json:
        webbrowser.open(index.resolve().as_uri())


def _write(folder: Path, language: str, made: dict[str, Mail]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, mail in made.items():
        (folder / f"{kind}.html").write_text(mail.html, "utf-8")
        (folder / f"{kind}.txt").write_text(f"{mail.subject}\n\n{mail.text}", "utf-8")
    index = folder / "index.html"
    index.write_text(_INDEX.render(language=language, mails=made), "utf-8")
    return index

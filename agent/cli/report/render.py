"""The page as HTML: one file, with everything in it."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from agent.cli.report.page import Page


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("agent.cli.report", "."),
        # Names, notes and tags come from the database: none of them is markup.
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(page: Page) -> str:
    """Return the page; whatever texts are in it are escaped."""
    return _environment().get_template("page.html").render(page=page)

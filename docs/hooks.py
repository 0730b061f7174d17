"""What mkdocs adds to the files of docs/: pages for CONTRIBUTING, CHANGELOG, each experiment of the gallery and each
public package; formulas as MathML, which needs no script; links into the repository led to these pages.

A link to a file that the repository doesn't hold is a warning, and so an error of a strict build.
"""

from __future__ import annotations

import ast
import logging
import os
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "platform/physlm"
EXPERIMENTS = ROOT / "pipelines/experiments"
INTERNAL = {"cli", "evaluation", "scaffold", "templates"}  # programs and the inside of steps: nothing to import
_FENCE = re.compile(r"^ *(```|~~~)")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<inline>[^$\n]+?)\$(?!\w)", re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
log = logging.getLogger("mkdocs.plugins.physlm")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API reference into the navigation: a page for each public package or module."""
    assert config.nav is not None
    pages = [{"physlm": "reference/physlm.md"}, *({f"physlm.{name}": f"reference/{name}.md"} for name in public())]
    config.nav.append({"API reference": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside docs/."""
    pages = {name: (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "CHANGELOG.md")}
    pages["experiments.md"] = _gallery()
    pages["reference/physlm.md"] = "::: physlm\n"
    for name in public():
        modules = [f"physlm.{name}"]
        if (PACKAGE / name).is_dir():
            modules += [f"physlm.{name}.{file.stem}" for file in _modules(PACKAGE / name)]
        pages[f"reference/{name}.md"] = f"# physlm.{name}\n\n" + "\n".join(f"::: {module}\n" for module in modules)
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas as MathML and lead links, outside of code."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    parts, code = [""], [False]
    for line in markdown.splitlines(keepends=True):
        fence = _FENCE.match(line) is not None
        if fence and not code[-1]:
            parts.append("")
            code.append(True)
            parts[-1] += line
        else:
            parts[-1] += line
            if fence:
                parts.append("")
                code.append(False)
    return "".join(
        part if is_code else _outside_code(part, page, files) for part, is_code in zip(parts, code, strict=True)
    )


def public() -> list[str]:
    """Packages and modules of physlm that others may import, sorted."""
    found = {file.stem for file in _modules(PACKAGE)} | {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    return sorted(found - INTERNAL)


def _modules(folder: Path) -> list[Path]:
    """Modules with a docstring, but those whose names begin with an underscore."""
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))
    return [file for file in files if ast.get_docstring(ast.parse(file.read_text()))]


def _gallery() -> str:
    """Each experiment as it is; the comment at its head says what it asks and found."""
    parts = ["# Experiments\n", "Each takes minutes on two cores: `physlm run` with the file's path.\n"]
    for file in sorted(EXPERIMENTS.glob("*.yaml")):
        parts.append(f"## {file.stem}\n\n```yaml\n{file.read_text().strip()}\n```\n")
    return "\n".join(parts)


def _outside_code(text: str, page: Page, files: Files) -> str:
    spans: list[str] = []

    def keep(match: re.Match[str]) -> str:
        spans.append(match[0])
        return f"\0{len(spans) - 1}\0"

    text = _CODE.sub(keep, text)
    text = _FORMULA.sub(_mathml, text)
    text = re.sub(r"\0(\d+)\0", lambda match: spans[int(match[1])], text)
    return _LINK.sub(lambda match: _led(match, page, files), text)


def _mathml(match: re.Match[str]) -> str:
    latex, display = (match["block"], "block") if match["block"] else (match["inline"], "inline")
    return convert(latex.strip(), display=display)


def _led(match: re.Match[str], page: Page, files: Files) -> str:
    """A link whose target lies in the repository, as a link to its page, or as its text where it has none."""
    target = match["target"]
    if ":" in target:
        return match[0]
    folder = ROOT if page.file.src_uri in ("CONTRIBUTING.md", "CHANGELOG.md") else ROOT / "docs"
    path = (folder / page.file.src_uri).parent / target
    path = Path(os.path.normpath(path))
    if not path.exists():
        if files.get_file_from_path(str(path.relative_to(ROOT / "docs"))) is None:
            log.warning("%s: links to %s, which the repository doesn't hold", page.file.src_uri, target)
        return match[0]
    if path.parent == EXPERIMENTS:
        return f"[{match['text']}]({_to('experiments.md', page)}#{path.stem})"
    if path == EXPERIMENTS:
        return f"[{match['text']}]({_to('experiments.md', page)})"
    for base in (ROOT / "docs", ROOT):
        if path.is_relative_to(base):
            source = files.get_file_from_path(path.relative_to(base).as_posix())
            if source is not None:
                return f"[{match['text']}]({_to(source.src_uri, page)}{match['anchor'] or ''})"
    return match["text"]


def _to(source: str, page: Page) -> str:
    return os.path.relpath(source, Path(page.file.src_uri).parent)

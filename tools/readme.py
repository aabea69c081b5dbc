"""Render nbs/index.ipynb to README.md, the same on every machine (no Quarto).

    readme.py           write README.md and its pictures, nbs/images/index-*.png
    readme.py --check   write nothing; exit 1 when they are not what the notebook holds

Cells marked `#| hide` are left out; `#| echo: false` leaves out a cell's code, `#| output: false`
its outputs; `#| fig-alt: ...` says what its picture shows, to those who cannot see it.
"""

import base64
import json
import posixpath
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "nbs" / "index.ipynb"
README = ROOT / "README.md"
BANNER = "<!-- Made from nbs/index.ipynb by tools/readme.py: edit the notebook. -->"
DIRECTIVE = re.compile(r"^#\s*\|\s*(.+?)\s*$\n?", re.MULTILINE)
LINK = re.compile(
    r"""(\]\(\s*<?|\b(?:src|href)=["'])(?![a-z][a-z0-9+.-]*:|[#/])([^\s)"'>]+)""", re.IGNORECASE
)
CODE = re.compile(r"(^```.*?^```[^\n]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def relink(text):
    """Links are relative to nbs/ in the notebook, to the root in the README; code is left alone."""
    parts = CODE.split(text)
    parts[::2] = [
        LINK.sub(lambda m: m[1] + posixpath.normpath("nbs/" + m[2]), part) for part in parts[::2]
    ]
    return "".join(parts)


def fence(text, language=""):
    """A fence longer than any in `text`."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text}\n{ticks}"


def outputs(cell, pictures, alt):
    for place, output in enumerate(cell["outputs"]):
        data = {
            mime: "".join(value)
            for mime, value in output.get("data", {}).items()
            if isinstance(value, (str, list))
        }
        if "image/png" in data:
            file = f"nbs/images/index-{cell['id']}-{place}.png"
            pictures[file] = base64.b64decode(data["image/png"])
            yield f"![{alt}]({file})"
        elif "text/markdown" in data:
            yield relink(data["text/markdown"].strip())
        elif text := "".join(output.get("text", data.get("text/plain", ""))).strip("\n"):
            yield fence(text)


def render(nb):
    """The README's text and its pictures {path: bytes}."""
    parts, pictures = [BANNER], {}
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        directives = DIRECTIVE.findall(source) if cell["cell_type"] == "code" else []
        flags = {re.sub(r"\s+", "", directive) for directive in directives}
        alt = "".join(
            d.removeprefix("fig-alt:").strip() for d in directives if d.startswith("fig-alt:")
        )
        if "hide" in flags or "include:false" in flags:
            continue
        if cell["cell_type"] == "markdown":
            if cell.get("attachments"):
                sys.exit(
                    f"nbs/index.ipynb, cell {cell['id']}: an attached picture cannot be shown; "
                    "draw it in a cell or link a file"
                )
            parts.append(relink(source.strip()))
        elif cell["cell_type"] == "code":
            code = DIRECTIVE.sub("", source).strip()
            if code and "echo:false" not in flags:
                parts.append(fence(code, "python"))
            if "output:false" not in flags:
                parts += outputs(cell, pictures, alt)
    return "\n\n".join(parts) + "\n", pictures


def main():
    if not INDEX.exists():
        sys.exit("readme: nbs/index.ipynb is missing, and README.md is made from it")
    text, pictures = render(json.loads(INDEX.read_text(encoding="utf-8")))
    files = {"README.md": text.encode(), **pictures}
    left = [
        p
        for p in (ROOT / "nbs" / "images").glob("index-*.png")
        if p.relative_to(ROOT).as_posix() not in files
    ]
    stale = [
        f
        for f, content in files.items()
        if not (ROOT / f).exists() or (ROOT / f).read_bytes() != content
    ]
    if "--check" in sys.argv[1:]:
        for file in stale + [p.relative_to(ROOT).as_posix() for p in left]:
            print(
                f"STALE   {file} is not what nbs/index.ipynb holds; "
                "run  tools/readme.py  and commit"
            )
        sys.exit(1 if stale or left else print("readme: README.md is what nbs/index.ipynb holds"))
    for file in stale:
        (ROOT / file).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / file).write_bytes(files[file])
    for path in left:
        path.unlink()
    print(f"readme: wrote {', '.join(stale) or 'nothing, all was fresh'}")


if __name__ == "__main__":
    main()

"""Which modules a page needs as it opens; otherwise a browser learns of each one from another."""

import posixpath
import re
from collections.abc import Mapping

IMPORTED = re.compile(
    r'^(?:import|export|\}) (?:.* )?from "(\.[^"]+\.js)"|^import "(\.[^"]+\.js)"', re.MULTILINE
)
# `name: async () => (await import("./module.js")).Thing`, which is fetched when it is asked for by its name.
OFFERED = re.compile(r'^ +(\w+): .*\bimport\("(\.[^"]+\.js)"\)', re.MULTILINE)
# A module that is nothing but data, and how another takes it.
DATA = re.compile(r"(?:\s|//[^\n]*\n)*export default (\{.*\});\s*", re.DOTALL)
TAKEN = re.compile(r'^import (\w+) from "(\.[^"]+\.js)";$', re.MULTILINE)
EARLY, MAIN = "js/early.js", "js/main.js"
PAGES = "js/role-pages.js"


def data_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return what is in each module that is nothing but data, as the texts are."""
    scripts = {path: content.decode() for path, content in files.items() if path.endswith(".js")}
    return {path: found[1] for path, text in scripts.items() if (found := DATA.fullmatch(text))}


def with_data_inside(path: str, script: bytes, data: Mapping[str, str]) -> bytes:
    """Return a script that has in it the data that it imports: each module would be a request of its own."""

    def inside(found: re.Match[str]) -> str:
        module = _at(path, found[2])
        return f"const {found[1]} = {data[module]};" if module in data else found[0]

    return TAKEN.sub(inside, script.decode()).encode()


class Modules:
    """The import graph of the scripts."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Read what each script imports, and what it offers by name."""
        scripts = {path: content.decode() for path, content in files.items() if path.endswith(".js")}
        self._imported = {
            path: [_at(path, "".join(names)) for names in IMPORTED.findall(text)]
            for path, text in scripts.items()
        }
        self._offered = {
            path: {name: _at(path, module) for name, module in OFFERED.findall(text)}
            for path, text in scripts.items()
        }

    def of_page(self, role: str | None = None, view: str | None = None) -> list[str]:
        """Return the modules of a role's page and its view, else its first; of no role, the start page's."""
        if role is None:
            return self.behind(EARLY, MAIN)
        page = self._offered[PAGES][role]
        views = self._offered[page]
        first = list(views.values())[:1]
        # What asks for the first data goes before what shows it.
        return self.behind(*self.behind(EARLY), MAIN, page, *([views[view]] if view in views else first))

    def views_of(self, role: str) -> list[str]:
        """Return the names of the views that a role's page has."""
        return list(self._offered[self._offered[PAGES][role]])

    def behind(self, *first: str) -> list[str]:
        """Return modules and everything that they import.

        Raises:
            KeyError: one of them is not there.
        """
        found = list(dict.fromkeys(first))
        for module in found:
            found += [each for each in self._imported[module] if each not in found]
        return found


def _at(path: str, module: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), module))

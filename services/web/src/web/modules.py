"""Which modules a page needs as it opens; otherwise a browser learns of each one from another."""

import posixpath
import re
from collections.abc import Mapping

IMPORTED = re.compile(
    r'^(?:import|export|\}) (?:.* )?from "(\.[^"]+\.js)"|^import "(\.[^"]+\.js)"', re.MULTILINE
)
# `name: async () => (await import("./module.js")).Thing`, which is fetched when it is asked for by its name.
OFFERED = re.compile(r'^ +(\w+): .*\bimport\("(\.[^"]+\.js)"\)', re.MULTILINE)
EARLY, MAIN = "js/early.js", "js/main.js"
PAGES = "js/role-pages.js"


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

"""A page in Chromium that may reach nothing but the disk, and must have nothing to complain of.

python tests/browser/chromium.py install      # Debian's package (root)
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


def install() -> None:
    """Install Debian's package, unless the program is there."""
    if PROGRAM:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit("chromium absent: installing it needs root and apt-get.")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    subprocess.run(command, check=True, env=quiet, stdout=subprocess.DEVNULL)


class Watched:
    """A context of its own with one page, whose messages and addresses are kept."""

    def __init__(self, browser, context: dict):
        # High enough that all sixty tiles of the small gallery are near the window, and so are laid.
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 1100}} | context)
        self.page = self.context.new_page()
        self.messages, self.addresses = [], []
        self.page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.messages.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.addresses.append(request.url))

    def open(self, path: Path, hash: str):
        self.page.goto(path.absolute().as_uri() + hash)
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.messages
        assert not [address for address in self.addresses if not address.startswith(("file:", "data:"))]


def overflow(page) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


CONTRASTS = """
(elements) => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([red, green, blue]) => [red, green, blue].map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const contrast = (element) => {
    let behind = element;
    let colour = parse(getComputedStyle(behind).backgroundColor);
    while (colour.length === 4 && colour[3] === 0 && behind.parentElement) {
      behind = behind.parentElement;
      colour = parse(getComputedStyle(behind).backgroundColor);
    }
    const both = [light(parse(getComputedStyle(element).color)), light(colour)].sort((one, other) => other - one);
    return (both[0] + 0.05) / (both[1] + 0.05);
  };
  return elements.filter((element) => element.checkVisibility() && element.textContent.trim()).map(contrast);
}
"""


def contrasts(page, selector: str) -> list[float]:
    """Contrast (WCAG 2, 1 to 21) of the text of every visible element of a selector to what is painted behind it."""
    return page.locator(selector).evaluate_all(CONTRASTS)


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(__doc__)
    install()

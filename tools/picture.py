"""Take the picture of the inspector that README and notebooks show (nbs/images/inspector.png).

Fits 20 topics in 6 to the State of the Union addresses, writes the page, opens it in Chromium
(that on the PATH, or playwright's own), chooses a topic and a word, and waits for the map.
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from nnmf_nb import NeuralNMF, datasets, inspect

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "nbs" / "images" / "inspector.png"
TOPIC, WORD = "0,7", "foreign"


def write_page(path):
    """The page of the model."""
    speeches = datasets.state_of_the_union()
    model = NeuralNMF(ranks=(20, 6), random_state=0).fit(speeches.X)
    samples = list(zip(speeches.samples, speeches.text)) if speeches.text else speeches.samples
    view = inspect(model, speeches.X, features=speeches.features, samples=samples)
    view.to_html(path, title="Two centuries of State of the Union addresses")


def take_picture(page_path, target):
    """Open the page, choose, wait until nothing moves, and keep what is seen."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.emulate_media(reduced_motion="reduce")
        page.goto(Path(page_path).as_uri())
        page.locator(f'.node[data-key="{TOPIC}"]').click()
        page.get_by_text(WORD, exact=True).first.hover()
        page.wait_for_timeout(3000)
        page.screenshot(path=target)
        browser.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        write_page(page)
        take_picture(page, TARGET)
    print(f"picture: {TARGET.relative_to(ROOT)}, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

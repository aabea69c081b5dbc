"""Take the pictures of the inspector and of the live view that README and notebooks show
(nbs/images/inspector.png, nbs/images/live.png).

Fits 20 topics in 6 to the State of the Union addresses, writes the page, opens it in Chromium
(that on the PATH, or playwright's own), chooses a topic and a word, and waits for the map. The
live view is drawn by its own script, from what it saw of the same fit.
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from nnmf_nb import LiveView, NeuralNMF, datasets, inspect
from nnmf_nb.inspector._pages import html_page

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "nbs" / "images"
TOPIC, WORD = "0,7", "foreign"


DRAW_LIVE = """
const model = { get: (name) => state[name], on() {}, off() {} };
renderLive({ model, el });
"""


def write_pages(folder):
    """The page of the model, and one of the live view of its fit."""
    speeches = datasets.state_of_the_union()
    live = LiveView(features=speeches.features, share=0.5)
    model = NeuralNMF(ranks=(20, 6), random_state=0).set_callbacks(live).fit(speeches.X)
    state = dict(progress=live.progress, frame=live.frame, curves=live.curves)
    page = html_page("live view", "live.js", DRAW_LIVE, state, "")
    (folder / "live.html").write_text(page, encoding="utf-8")
    samples = list(zip(speeches.samples, speeches.text)) if speeches.text else speeches.samples
    view = inspect(model, speeches.X, features=speeches.features, samples=samples)
    view.to_html(folder / "inspector.html", title="Two centuries of State of the Union addresses")


def take_pictures(folder):
    """Open the pages, choose, wait until nothing moves, and keep what is seen."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.emulate_media(reduced_motion="reduce")
        page.goto((folder / "inspector.html").as_uri())
        page.locator(f'.node[data-key="{TOPIC}"]').click()
        page.get_by_text(WORD, exact=True).first.hover()
        page.wait_for_timeout(3000)
        page.screenshot(path=IMAGES / "inspector.png")
        page.set_viewport_size({"width": 1000, "height": 440})
        page.goto((folder / "live.html").as_uri())
        page.locator(".depth").first.wait_for()
        page.screenshot(path=IMAGES / "live.png", full_page=True)
        browser.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        write_pages(Path(folder))
        take_pictures(Path(folder))
    for path in (IMAGES / "inspector.png", IMAGES / "live.png"):
        print(f"picture: {path.relative_to(ROOT)}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

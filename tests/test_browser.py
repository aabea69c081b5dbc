"""The pages where people meet them: a tutorial, edits and a fit that is watched, in JupyterLab and
in Notebook 7, the app in Voila and in JupyterLab.

Real servers, real kernels, Chromium without a window. SCREENSHOTS=folder keeps pictures to be
looked at.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from conftest import HAS_FAILED, find_chromium
from test_inspector import FAINT

from nnmf_nb import NMF, datasets, inspect, load

ROOT = Path(__file__).resolve().parent.parent
# a port may be taken before a kernel has it; paths of sockets are too long elsewhere
TRANSPORT = ["--KernelManager.transport=ipc"] if sys.platform == "linux" else []
LACKING = [
    name
    for name in ("playwright", "jupyterlab", "notebook", "voila", "anywidget")
    if find_spec(name) is None
]
ABSENT = (
    f"{', '.join(LACKING)} not installed"
    if LACKING
    else "no chromium on the PATH"
    if find_chromium() is None
    else ""
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(ABSENT), reason=f"BROWSER TEST NOT RUN: {ABSENT}"),
]

VIEW = "application/vnd.jupyter.widget-view+json"
PATIENCE = 60_000  # milliseconds for one thing to happen, on a machine that has other things to do
SMALL = """
from nnmf_nb import NMF, datasets, inspect
inspect(NMF(3, random_state=0).fit(datasets.toy(0).X))
"""
WATCH = """
import warnings
import numpy as np
from nnmf_nb import HierarchicalNMF, LiveView
warnings.simplefilter("ignore")
view = LiveView(features=[f"word{i}" for i in range(200)])
model = HierarchicalNMF(ranks=(20, 5), max_iter=10**6, tol=0, random_state=0).set_callbacks(view)
model.fit(np.random.default_rng(0).random((400, 200)) ** 6)
"""
CHANGE = """
import warnings
import numpy as np
from nnmf_nb import LiveView, NeuralNMF
warnings.simplefilter("ignore")
X, y = np.random.default_rng(0).random((300, 100)) ** 6, np.arange(300) % 3
view = LiveView()
model = NeuralNMF(ranks=(10, 4), optimizer="gd", step=.02, n_init=1, max_iter=10**6, tol=0,\
 random_state=0).set_callbacks(view).fit(X, y)
"""
EDIT = """
import numpy as np
from nnmf_nb import HierarchicalNMF, inspect, steer
X = np.random.default_rng(0).random((3000, 400)) ** 6
edits = steer(HierarchicalNMF((12, 3), random_state=0, max_iter=5).fit(X), X)
view = inspect(edits)
view
"""
PLAIN = """
import sys
sys.modules["anywidget"] = None
from nnmf_nb import HierarchicalNMF, datasets, inspect
toy = datasets.toy(0)
view = inspect(HierarchicalNMF((6, 3), random_state=0).fit(toy.X), X=toy.X, features=toy.features,\
 samples=toy.samples)
view
"""


def write_notebook(path, *cells):
    # or a dialog asks for one
    kernel = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    path.write_text(
        nbformat.writes(
            nbformat.v4.new_notebook(
                metadata=kernel, cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
            )
        )
    )


def free_port():
    """A port where nobody listens, below those that the system gives to a program that asks for
    any: no other takes it before the server does.
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("a hundred ports are taken")


def environment(folder, runtime):
    """Of the servers: this interpreter and checkout, no settings of whoever runs the test, no
    questions about news. The sockets of kernels are in `runtime`, whose path must be short.
    """
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(folder / "share" / "kernels" / "python3")
    news = (
        folder
        / "settings"
        / "@jupyterlab"
        / "apputils-extension"
        / "notification.jupyterlab-settings"
    )
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    places = dict(
        JUPYTER_CONFIG_DIR="config",
        JUPYTER_DATA_DIR="data",
        JUPYTERLAB_SETTINGS_DIR="settings",
        JUPYTERLAB_WORKSPACES_DIR="workspaces",
        IPYTHONDIR="ipython",
        JUPYTER_PATH="share",
    )
    env = (
        os.environ
        | {name: str(folder / place) for name, place in places.items()}
        | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "JUPYTER_RUNTIME_DIR": runtime}
    )
    return env | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    }


def serve(command, port, folder, log):
    """Start a server and wait for its answer; yields its address."""
    runtime = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # kernels may end later
    with open(log, "w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(folder / "jupyter", runtime.name),
        )
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < end, (
                f"the server does not answer:\n{Path(log).read_text()[-2000:]}"
            )
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        runtime.cleanup()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """The address of one server for all: JupyterLab, Notebook 7 and Voila."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "jupyter").mkdir()
    write_tutorial(folder / "tutorial.ipynb")
    shutil.copy(ROOT / "nbs/apps/inspector.ipynb", folder)
    write_notebook(folder / "watch.ipynb", WATCH, "print('reason', model.stop_reason_)")
    write_notebook(
        folder / "change.ipynb",
        CHANGE,
        "print('changes', [what for _, what in model.history_['changes']], model.stop_reason_)",
    )
    write_notebook(folder / "plain.ipynb", PLAIN)
    write_notebook(folder / "edit.ipynb", EDIT)
    write_saved_notebook(folder / "saved.ipynb")
    write_notebook(folder / "small.ipynb", SMALL)
    port = free_port()
    command = [
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--allow-root",
        f"--ServerApp.root_dir={folder}",
        *TRANSPORT,
        "--expose-app-in-browser",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]
    yield from serve(command, port, folder, folder / "server.log")


def write_tutorial(path):
    """The tutorial without the cells that draw still pictures: the test of the notebook runs
    them.
    """
    notebook = nbformat.read(ROOT / "nbs/tutorials/03_looking_inside.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "plt.show()" not in cell.source]
    nbformat.write(notebook, path)


def write_saved_notebook(path):
    """A notebook as JupyterLab saves it after a view was displayed: the widget, whose kernel is
    gone, and the still.
    """
    cell = nbformat.v4.new_code_cell("view")
    bundle = inspect(NMF(3, random_state=0).fit(datasets.toy(0).X)).stills()
    widget = {"model_id": "gone", "version_major": 2, "version_minor": 0}
    cell.outputs = [
        nbformat.v4.new_output("display_data", {VIEW: widget}),
        nbformat.v4.new_output("display_data", bundle),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


@pytest.fixture
def page(chromium, request):
    """A page of its own; fails on errors that name our scripts. If the test failed, its report says
    what the page showed. The kernels end with the page.
    """
    context, trouble = (
        chromium.new_context(viewport={"width": 1300, "height": 1000}, reduced_motion="reduce"),
        [],
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: trouble.append(f"{error}\n{error.stack or ''}"))
    page.on(
        "console", lambda message: trouble.append(message.text) if message.type == "error" else None
    )
    yield page
    if request.node.stash.get(HAS_FAILED, False):
        fields = page.locator(".nnmf-app input, .nnmf-app select").evaluate_all(FIELDS)
        text = page.locator("body").inner_text()
        print(f"the page shows:\n{text[-SAID:]}\nfields: {fields}\nconsole: {trouble}")
    page.evaluate(SHUT_DOWN)
    context.close()
    ours = [
        one
        for one in trouble
        if any(
            word in one
            for word in ("nnmf", "anywidget", "blob:", "Failed to load model class", "widget")
        )
    ]
    assert not ours, ours


def picture(page, name, tmp_path):
    page.screenshot(path=f"{os.environ.get('SCREENSHOTS', tmp_path)}/{name}.png")


IDLE = """() => {
  const widget = window.jupyterapp?.shell?.currentWidget, context = widget?.sessionContext;
  return Boolean(context?.isReady && context.session?.kernel?.connectionStatus === "connected"\
 && context.session.kernel.status === "idle");
}"""
# Every cell has a number: '*' is a cell that waits or runs, and before the command to run all has
# arrived there is nothing. JupyterLab takes the focus and scrolls when the last one has run.
RAN = (
    "() => window.jupyterapp.shell.currentWidget.content.widgets"
    ".every((cell) => cell.model.type !== 'code' || /[0-9]/.test(cell.prompt))"
)
SHUT_DOWN = "() => window.jupyterapp?.serviceManager.sessions.shutdownAll()"
FIELDS = "all => all.map((one) => [one.value, one.disabled ? 'disabled' : ''].join(' '))"
SAID = 3000  # characters of a page that the report of a failed test shows
PYTHON = """async (code) => {
  const future = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel\
.requestExecute({ code, store_history: false });
  let text = "";
  future.onIOPub = ({ header, content }) => { if (header.msg_type === "stream")\
 text += content.text; if (header.msg_type === "error")\
 text += content.ename + ": " + content.evalue; };
  await Promise.race([future.done, new Promise((_, reject) => setTimeout(() =>\
 reject(new Error("the kernel does not answer")), 60000))]);
  return text;
}"""


def open_notebook(page, address, run=True):
    page.goto(address)
    page.wait_for_function(IDLE)
    if run:  # never await the command: it is done when the last cell is
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")


# where a notebook is open: nothing may depend on which of the two it is
PLACES = pytest.mark.parametrize(
    "place", ["lab", pytest.param("notebook7", marks=pytest.mark.exhaustive)]
)


def address(jupyter, place, name):
    if place == "lab":
        return f"{jupyter}/lab/workspaces/{uuid.uuid4().hex}/tree/{name}.ipynb?reset"
    return f"{jupyter}/notebooks/{name}.ipynb"


def python(page, expression):
    return page.evaluate(PYTHON, f"print({expression})").strip()


def until(read, wanted, seconds=PATIENCE / 1000):
    """Wait for what is read in Python to be what is wanted: a click needs a moment to arrive
    there.
    """
    end = time.monotonic() + seconds
    while not wanted(value := read()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s, it is still {value!r}"
        time.sleep(0.05)
    return value


WAR = 308  # data points that the tutorial chooses


@PLACES
def test_tutorial(jupyter, page, place, tmp_path):
    open_notebook(page, address(jupyter, place, "tutorial"))
    inspector = page.locator(".nnmf:not(.live)")
    inspector.locator(".node.selected").wait_for()
    page.wait_for_function(RAN)
    page.wait_for_function(IDLE)  # messages of widgets wait while cells run
    assert python(page, "view.selected") == "(1, 4)"
    inspector.scroll_into_view_if_needed()

    inspector.locator('.node[data-key="1,1"] .bar').click()  # a supertopic, with the mouse
    until(lambda: python(page, "view.selected"), lambda s: s == "(1, 1)")
    above = inspector.locator(".topic").inner_text(), inspector.locator(".documents").inner_text()
    assert "theme 1 ·" in above[0]
    inspector.locator(".topic .chip").first.click()  # one of its subtopics
    below = until(lambda: python(page, "view.selected"), lambda s: s.startswith("(0, "))
    assert f"topic {below[4:-1]} ·" in inspector.locator(".topic").inner_text()
    assert inspector.locator(".documents").inner_text() != above[1]
    assert (
        python(page, f"view.data.loc[{below}, 'name']").split(" · ")[0]
        in inspector.locator(".topic h3").inner_text()
    )

    # lists, texts and words come from the kernel
    inspector.locator('[data-mode="all"]').click()
    inspector.locator(".pager", has_text="1–12 of").wait_for()
    inspector.locator(".read").first.click()
    inspector.locator(".text.whole").first.wait_for()
    inspector.locator(".feature").first.hover()
    inspector.locator(".word li button").first.wait_for()
    inspector.locator("input[type=search]").fill("peace")
    inspector.locator(".said", has_text="names and whole texts").wait_for()
    inspector.locator("input[type=search]").fill("")

    # the map is made when somebody opens it; a lasso arrives in Python, and Python in the map
    inspector.locator(".map summary").click()
    dots = inspector.locator(".dots")
    inspector.locator(".dots[data-drawn]").wait_for()
    dots.scroll_into_view_if_needed()
    box = dots.bounding_box()
    corners = [(0.3, 0.3), (0.6, 0.3), (0.6, 0.6), (0.3, 0.6)]
    at = [(box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=3)
    page.mouse.up()
    chosen = until(
        lambda: int(python(page, "len(view.selected_samples)")), lambda n: n not in (0, WAR)
    )
    inspector.locator(".choice h3", has_text=f"{chosen:,} documents chosen").wait_for()
    inspector.locator(".said", has_text="chosen on the map").wait_for()
    picture(page, f"{place}_map", tmp_path)
    python(page, "setattr(view, 'selected_samples', [5])")
    inspector.locator(".choice h3", has_text="1 document chosen").wait_for()
    inspector.locator('.documents [data-point="5"]').wait_for()
    inspector.get_by_role("button", name="choose none").click()
    until(lambda: python(page, "view.selected_samples"), lambda text: text == "[]")
    inspector.locator(".map summary").click()  # closed again

    slider = inspector.locator("input[type=range]")
    rows = (
        "rows => rows.sort((a, b) => a.dataset.rank - b.dataset.rank)"
        ".map(row => row.children[0].textContent)"
    )
    frequent = inspector.locator(".feature").evaluate_all(rows)
    for _ in range(10):
        # finds the slider anew: the card may just be drawn again for the names asked for above
        slider.press("ArrowLeft")
    until(slider.input_value, lambda value: value == "0")
    assert inspector.locator(".feature").evaluate_all(rows) != frequent

    inspector.locator(".rename").click()
    page.keyboard.type("mein Thema 主題")
    page.keyboard.press("Enter")
    until(lambda: python(page, f"model.topic_names_[{below}]"), lambda s: s == "mein Thema 主題")

    inspector.locator(".node.selected").focus()  # keys alone, and the notebook does not take them
    page.keyboard.press("ArrowLeft")
    until(lambda: python(page, "view.selected"), lambda s: s.startswith("(1, "))
    page.keyboard.press("Home")
    first = python(page, "view.payload['layers'][1]['order'][0]")
    until(lambda: python(page, "view.selected"), lambda s: s == f"(1, {first})")
    page.evaluate(PYTHON, "view.select(0, 3)")  # and from Python to the page
    inspector.locator('.node[data-key="0,3"].selected').wait_for()
    assert inspector.locator(".alert").inner_text() == ""
    # the whole text comes from the kernel
    example = inspector.locator(".example").first
    example.locator(".read").click()
    example.locator(".text mark").first.wait_for()
    # where the views live, their stills are hidden
    assert page.locator(".nnmf-still").count() == 2
    assert page.locator(".nnmf-still:visible").count() == 0
    picture(page, f"{place}_inspector", tmp_path)

    live = page.locator(".nnmf.live")
    live.scroll_into_view_if_needed()
    live.locator(".facts", has_text="done (stationary)").wait_for()
    assert (
        "done (stationary)" in live.locator(".facts").inner_text()
        and live.locator(".control.stop").is_disabled()
    )
    live.locator('.chip[data-epoch="1"]').click()
    until(lambda: python(page, "live.progress['looking']"), lambda s: s == "1")
    live.locator('.chip[data-epoch="1"][aria-pressed="true"]').wait_for()
    picture(page, f"{place}_live_done", tmp_path)


@PLACES
def test_saved_notebook_shows_its_still_without_a_kernel(jupyter, chromium, place, tmp_path):
    context = chromium.new_context(viewport={"width": 1300, "height": 700})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address(jupyter, place, "saved"))
    still = page.locator(".nnmf-still")
    still.wait_for()
    page.locator(".jp-Dialog button.jp-mod-reject").click()
    page.locator(".jp-Dialog").wait_for(state="detached")
    page.wait_for_timeout(500)
    assert still.is_visible()
    assert still.locator("tr").count() == 4 and "NMF: 90 data points" in still.inner_text()
    picture(page, f"{place}_saved", tmp_path)
    context.close()


@pytest.mark.exhaustive  # the page without a kernel is in test_inspector
@PLACES
def test_names_after_a_restart_are_said_to_be_lost(jupyter, chromium, place, tmp_path):
    context = chromium.new_context(viewport={"width": 1300, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    open_notebook(page, address(jupyter, place, "small"))
    inspector = page.locator(".nnmf")
    inspector.locator(".node.selected").wait_for()
    page.wait_for_function(IDLE)
    inspector.locator(".rename").click()
    page.keyboard.type("in time")
    page.keyboard.press("Enter")
    page.wait_for_timeout(4500)  # longer than the page waits for an answer
    assert inspector.locator(".alert").inner_text() == ""
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    page.wait_for_function(IDLE)
    inspector.locator(".rename").click()
    page.keyboard.type("too late")
    page.keyboard.press("Enter")
    inspector.locator(".alert", has_text="on this page only").wait_for()
    with page.expect_download() as download:
        inspector.get_by_role("button", name="download").click()
    assert "too late" in Path(download.value.path()).read_text()
    picture(page, f"{place}_restarted", tmp_path)
    context.close()


@pytest.mark.exhaustive  # every gesture, with Python behind it, is in test_editing
@PLACES
def test_edits(jupyter, page, place, tmp_path):
    open_notebook(page, address(jupyter, place, "edit"))
    inspector = page.locator(".nnmf")
    inspector.locator(".node.selected").wait_for()
    page.wait_for_function(RAN)
    page.wait_for_function(IDLE)
    inspector.scroll_into_view_if_needed()
    inspector.locator('.node[data-key="0,3"]').click()
    page.keyboard.press("m")  # which would make a Markdown cell of the notebook's
    inspector.locator('.node[data-key="0,5"]').click()
    inspector.locator(".draft .figures").wait_for()
    assert python(page, "len(edits.log)") == "0"
    picture(page, f"{place}_draft", tmp_path)
    page.keyboard.press("Enter")
    until(lambda: python(page, "[one.kind for one in edits.log]"), lambda s: s == "['merge']")
    until(lambda: inspector.locator(".node").count(), lambda n: n == 14)
    inspector.get_by_label("iterations").fill("100")
    inspector.get_by_label("other topics").select_option("free")
    inspector.locator("button.refine").click()
    inspector.locator(".edits [role=status]", has_text="iteration").wait_for()
    python(page, "6 * 7")  # the kernel answers in the middle of it
    assert inspector.locator("button.refine").inner_text() == "interrupt"
    picture(page, f"{place}_refining", tmp_path)
    inspector.locator("button.refine").click()
    inspector.locator(".log li", has_text="refine").wait_for(state="attached")
    done = python(page, "edits.log[-1].iterations")
    assert 0 < sum(map(int, done.strip("()").split(","))) < 200
    page.evaluate(PYTHON, "_ = edits.commit(edits.delete('0:7')); view.refresh()")
    until(lambda: inspector.locator(".node").count(), lambda n: n == 13)
    page.locator("button.undo").focus()
    page.keyboard.press("Control+z")
    until(lambda: inspector.locator(".node").count(), lambda n: n == 14)
    assert inspector.locator(".alert").inner_text() == ""
    picture(page, f"{place}_edits", tmp_path)


@pytest.mark.exhaustive
@PLACES
def test_plain_controls(jupyter, page, place, tmp_path):
    # what somebody without anywidget gets
    open_notebook(page, address(jupyter, place, "plain"))
    page.get_by_label("layer").wait_for()
    page.wait_for_function(RAN)
    page.wait_for_function(IDLE)
    page.get_by_label("layer").select_option("layer 0: 6 topics")
    first = until(lambda: python(page, "view.selected"), lambda s: s.startswith("(0, "))
    page.get_by_text(f"layer 0, topic {first[4:-1]}:").wait_for()
    other = (int(first[4:-1]) + 1) % 6
    page.get_by_label("topic", exact=True).select_option(
        index=int(python(page, f"view.payload['layers'][0]['order'].index({other})"))
    )
    until(lambda: python(page, "view.selected"), lambda s: s == f"(0, {other})")
    name = page.get_by_label("name")
    name.fill("mein Thema")
    name.press("Enter")
    page.get_by_text(f"layer 0, topic {other}: mein Thema").wait_for()
    assert python(page, f"view.model.topic_names_[0, {other}]") == "mein Thema"
    picture(page, f"{place}_plain", tmp_path)


def iteration(live):
    text = live.locator(".facts").inner_text()
    return int(text.split("iteration ")[1].split()[0]) if "iteration " in text else -1


def watch_and_stop(page, name, tmp_path):
    """Everything that may be done to a running fit, with the mouse."""
    live = page.locator('.nnmf.live[data-state="running"]')
    live.wait_for()
    live = page.locator(".nnmf.live")
    seen = until(lambda: iteration(live), lambda i: i > 0)
    until(lambda: iteration(live), lambda i: i > seen)  # it moves
    live.scroll_into_view_if_needed()
    picture(page, f"{name}_running", tmp_path)
    live.locator(".control.pause").click()
    page.locator('.nnmf.live[data-state="paused"]').wait_for()
    assert live.locator(".control.pause").inner_text() == "resume"
    held = iteration(live)
    live.locator(".control.step").click()
    until(lambda: iteration(live), lambda i: i == held + 1)
    page.locator('.nnmf.live[data-state="paused"]').wait_for()
    live.locator(".control.keep").click()
    live.locator(f'.chip[data-epoch="{held + 1}"]').wait_for()
    picture(page, f"{name}_paused", tmp_path)
    live.locator(".control.pause").click()
    until(lambda: iteration(live), lambda i: i > held + 1)
    live.locator(".control.stop").click()
    page.locator('.nnmf.live[data-state="done"]').wait_for()
    assert (
        "done (callback)" in live.locator(".facts").inner_text()
        and live.locator(".alert").inner_text() == ""
    )
    return held + 1


@pytest.mark.exhaustive
def test_live_fit_in_jupyterlab(jupyter, page, tmp_path):
    open_notebook(page, f"{jupyter}/lab/workspaces/{uuid.uuid4().hex}/tree/watch.ipynb?reset")
    kept = watch_and_stop(page, "lab_live", tmp_path)
    page.get_by_text("reason callback").wait_for()  # the next cell ran after, not during, the fit
    page.wait_for_function(IDLE)
    assert (
        str(kept) in python(page, "view.epochs")
        and python(page, f"view.restore({kept}).layers_[0].rank") == "20"
    )


@pytest.mark.exhaustive
def test_live_fit_in_notebook_7(jupyter, page, tmp_path):
    open_notebook(page, f"{jupyter}/notebooks/watch.ipynb")
    watch_and_stop(page, "notebook7_live", tmp_path)
    page.get_by_text("reason callback").wait_for()


@pytest.mark.exhaustive
def test_a_running_fit_is_changed_in_jupyterlab(jupyter, page, tmp_path):
    open_notebook(page, f"{jupyter}/lab/workspaces/{uuid.uuid4().hex}/tree/change.ipynb?reset")
    live = page.locator(".nnmf.live")
    until(lambda: iteration(live) if live.count() else -1, lambda i: i > 2)
    step, lam = (live.get_by_label(name, exact=True) for name in ("step", "lam"))
    assert (step.input_value(), lam.input_value()) == ("0.02", "1")

    def enter(field, value):
        field.fill(value)
        field.press("Enter")

    enter(step, "0")
    live.locator(".alert", has_text="step must be a number > 0").wait_for()
    enter(step, "0.005")  # while it runs
    until(lambda: live.locator('.depth[data-depth="0"] path.mark').count(), lambda n: n == 1)
    until(lambda: live.locator(".alert").inner_text(), lambda text: text == "")
    live.locator(".control.pause").click()
    page.locator('.nnmf.live[data-state="paused"]').wait_for()
    enter(lam, "0.25")  # while it is held
    live.locator(".control.pause").click()
    until(lambda: live.locator('.depth[data-depth="0"] path.mark').count(), lambda n: n == 2)
    assert (step.input_value(), lam.input_value()) == ("0.005", "0.25")
    live.scroll_into_view_if_needed()
    picture(page, "lab_change", tmp_path)
    live.locator(".control.stop").click()
    page.get_by_text("changes [{'step': 0.005}, {'lam': 0.25}] callback").wait_for()
    assert step.is_disabled() and lam.is_disabled()


def use_app(page, name, tmp_path):
    """Fit with a wrong rank, then a table of texts with right ones, stop the fit, look at a topic,
    take the model away.
    """
    table = tmp_path / "terms.csv"
    terms = datasets.gene_ontology()
    rows = zip(terms.samples, terms.text)
    table.write_text("term;text\n" + "".join(f'"{name}";"{text}"\n' for name, text in rows))
    fit = page.get_by_role("button", name="Fit", exact=True)
    fit.wait_for()
    page.get_by_label("data").select_option("handwritten digits")
    # before, what is typed would be replaced by the ranks that the app suggests for these data
    page.get_by_text("Data to fit: handwritten digits").wait_for()
    ranks = page.get_by_label("ranks")
    ranks.click()  # waits until the field is enabled: the data have been read
    ranks.fill("nonsense")
    ranks.press("Tab")
    fit.click()
    # what goes wrong is said, without a traceback
    page.locator("[role=alert]", has_text="ranks must be numbers").wait_for()
    assert page.get_by_text("Traceback").count() == 0
    page.get_by_label("or a file").set_input_files(table)
    page.get_by_text("Data to fit: terms.csv").wait_for()
    # what was understood is said, and corrected
    page.get_by_text("a table: 3,500 texts").wait_for()
    texts = page.get_by_label("texts", exact=True)
    texts.select_option("none: a table of numbers")
    page.locator("[role=alert]", has_text="terms.csv has no column of numbers").wait_for()
    texts.select_option("text")
    page.get_by_text("column 'text' holds the texts").wait_for()
    assert page.get_by_label("stop words").input_value() == "English"
    picture(page, f"{name}_form", tmp_path)
    ranks.fill("24, 8")
    ranks.press("Tab")
    fit.click()
    live = page.locator(".nnmf.live")
    live.locator(".depth").first.wait_for()
    # while the thread that would hear it is busy with the click before
    live.locator(".control.stop").click()
    page.locator('.nnmf.live[data-state="done"]').wait_for()
    assert "done (callback)" in live.locator(".facts").inner_text()
    inspector = page.locator(".nnmf:not(.live)")
    inspector.locator(".node.selected").wait_for()
    inspector.locator('.node[data-key="0,3"]').click()
    inspector.locator('.node[data-key="0,3"].selected').wait_for()
    links = page.locator("a[download]")
    links.nth(1).wait_for()
    assert links.evaluate_all("all => all.map(a => a.download)") == [
        "topics.html",
        "model.safetensors",
        "topics.csv",
        "coefficients.csv",
    ]
    with page.expect_download() as download:
        links.nth(1).click()
    assert load(download.value.path())[-1].layers_[0].rank == 24
    assert page.locator(".nnmf-still:visible").count() == 0
    inspector.scroll_into_view_if_needed()
    picture(page, f"{name}_result", tmp_path)


def test_app_in_voila(jupyter, page, tmp_path):
    page.goto(f"{jupyter}/voila/render/inspector.ipynb")
    page.get_by_role("button", name="Fit", exact=True).wait_for()
    assert page.get_by_text("Files that you choose").is_visible()
    # a page for people who do not read programs
    assert not page.get_by_text("Below this line is how it works").is_visible()
    use_app(page, "voila", tmp_path)


def dark_lab(page, is_dark):
    theme = "JupyterLab Dark" if is_dark else "JupyterLab Light"
    page.evaluate(
        "(theme) => { window.jupyterapp.commands.execute('apputils:change-theme', { theme }) }",
        theme,
    )
    body = page.locator(f'body[data-jp-theme-light="{str(not is_dark).lower()}"]')
    body.wait_for(state="attached")


@pytest.mark.exhaustive  # the same in Voila is not
def test_app_in_jupyterlab(jupyter, page, tmp_path):
    open_notebook(page, f"{jupyter}/lab/workspaces/{uuid.uuid4().hex}/tree/inspector.ipynb?reset")
    page.wait_for_function(RAN)
    page.wait_for_function(IDLE)
    use_app(page, "lab_app", tmp_path)
    # legible in both themes of JupyterLab; the map is drawn anew in the colors of the other
    inspector = page.locator(".nnmf:not(.live)")
    inspector.locator(".map summary").click()
    inspector.locator(".dots[data-drawn]").wait_for()
    dots = inspector.locator(".dots canvas").first
    pixels = "(one) => one.toDataURL()"
    for is_dark in (True, False):
        drawn = dots.evaluate(pixels)
        dark_lab(page, is_dark)
        until(lambda: dots.evaluate(pixels), drawn.__ne__)
        page.wait_for_timeout(1000)  # colors fade into each other
        assert page.locator(".nnmf-app").evaluate(FAINT) == []
        picture(page, f"lab_app_{'dark' if is_dark else 'light'}", tmp_path)


@pytest.mark.exhaustive  # what arrives in pieces is whole: also a cell of the app's notebook
def test_app_takes_a_table_that_a_websocket_would_drop(jupyter, page, tmp_path):
    page.goto(f"{jupyter}/voila/render/inspector.ipynb")
    page.get_by_role("button", name="Fit", exact=True).wait_for()
    table = tmp_path / "large.csv"
    row = ",".join(f"{n % 97}.123456" for n in range(1300)) + "\n"
    table.write_text(row * 1000)
    assert table.stat().st_size > 11_000_000
    page.get_by_label("or a file").set_input_files(table)
    page.get_by_text("large.csv (").wait_for()
    page.get_by_role("button", name="remove the file").click()
    page.get_by_text("toy (90 documents)").last.wait_for()
    # a folder: its texts, also those of one name, and nothing else
    for name in ("a/x.txt", "b/x.txt", "b/notes.pdf", "c.txt"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"red apples of {name}")
    page.get_by_label("or a folder").set_input_files(tmp_path / "folder")
    page.get_by_text("texts, one per file: 3 texts").wait_for()
    assert page.get_by_text("red apples of b/x.txt").is_visible()
    picture(page, "voila_folder", tmp_path)

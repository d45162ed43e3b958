"""A page on this machine alone that shows a running training: progress, curves, current images.

It only reads, and serves nothing but its page and the run's test images.
"""

import base64
import hashlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from voxsds.cli.live.progress import Progress, read_progress
from voxsds.report.charts import charts
from voxsds.report.gather import NAME

FOLDER = Path(__file__).parent
STYLE = files("voxsds.report") / "page.css"  # that of the report
HOST = "127.0.0.1"
REFRESH = """
const main = document.querySelector("main");
const lost = document.querySelector(".lost");
async function refresh() {
  try {
    const answer = await fetch("/now");
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = await answer.text();
    const parsed = new DOMParser().parseFromString(fresh, "text/html");
    main.replaceChildren(...parsed.body.childNodes);
    document.title = main.querySelector("[data-title]")?.dataset.title ?? "voxsds";
    lost.hidden = true;
  } catch { lost.hidden = false; }
  setTimeout(refresh, 2000);
}
refresh();
"""
SCRIPT_HASH = base64.b64encode(hashlib.sha256(REFRESH.encode()).digest()).decode()
POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{SCRIPT_HASH}'"
)


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def now_html(progress: Progress | None) -> str:
    """HTML of the part of the page that changes."""
    return _template("watch_now.html.j2").render(
        run=progress,
        charts=charts(progress.history) if progress and progress.done else [],
        duration=duration,
        shown=_shown(progress) if progress else [],
    )


def _shown(progress: Progress) -> list[tuple[str, list[str]]]:
    """The images at the start and now."""
    steps = sorted({min(progress.images), max(progress.images)}) if progress.images else []
    return [(f"after {step} steps" if step else "at the start", progress.images[step]) for step in steps]


def page_html() -> str:
    """The page around it."""
    style = Markup(STYLE.read_text(encoding="utf-8"))
    return _template("watch.html.j2").render(style=style, script=Markup(REFRESH))


def _template(name: str) -> Template:
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(name)


class Handler(BaseHTTPRequestHandler):
    """Answers GET for /, /now and /image/<name>."""

    server: "Server"

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.names:
            # A page elsewhere whose name was made to point at this machine is not to read along.
            self.send_error(HTTPStatus.FORBIDDEN, "asked for under another name than localhost")
        elif self.path == "/":
            self._answer("text/html; charset=utf-8", page_html().encode())
        elif self.path == "/now":
            self._now()
        elif self.path.startswith("/image/") and NAME.fullmatch(name := self.path.removeprefix("/image/")):
            self._image(self.server.folder / "test_imgs" / name)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _now(self) -> None:
        try:
            progress = read_progress(self.server.folder)
        except (ValueError, KeyError) as error:  # logs of another version, or edited by hand
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "the logs cannot be read", repr(error))
        else:
            self._answer("text/html; charset=utf-8", now_html(progress).encode())

    def _image(self, path: Path) -> None:
        try:
            self._answer("image/png", path.read_bytes())
        except FileNotFoundError:  # a new run has begun meanwhile
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line every two seconds tells nobody anything."""


class Server(ThreadingHTTPServer):
    """Serves the run that logs into `folder`, on the loopback address only; port 0 is any free one."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int):
        super().__init__((HOST, port), Handler)
        self.folder = folder
        self.names = {f"{host}:{self.server_port}" for host in (HOST, "localhost")}
        self.url = f"http://{HOST}:{self.server_port}/"


def watch(folder: Path, port: int) -> None:
    """Serves until Ctrl-C; ValueError where the port is taken."""
    try:
        server = Server(folder, port)
    except OSError as error:
        raise ValueError(f"port {port}: {error.strerror}; give another with --port, 0 for any") from error
    print(f"watching {folder} at {server.url} (Ctrl-C ends it)", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()

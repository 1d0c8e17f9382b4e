"""What holds for every command: dispatch, exit status, streams, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from app import __version__
from app.cli_models import seconds_of
from app.core import errors
from resources import resource_path
from tests.cli.conftest import refused
from tests.conftest import REPOSITORY

COMMANDS = ("demo", "info", "segment", "auto", "convert", "models", "evaluate", "train", "bench")


def test_help_names_every_command(run):
    done = run("--help")
    assert done.code == 0
    for name in COMMANDS:
        assert name in done.out
    assert " window " not in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(run, name):
    done = run(name, "--help")
    assert done.code == 0
    assert name in done.out


def test_version(run):
    assert run("--version").out.split() == ["Maskwright", __version__]


def test_a_misspelt_command_is_wrong_usage(run):
    refused(run("segmnt"), 2, "segmnt", "segment")


def test_a_missing_scan_is_refused(run, tmp_path):
    refused(run(tmp_path / "missing.nii.gz"), 3, "missing.nii.gz")
    refused(run("scans/missing"), 3, "missing")


@pytest.fixture
def opened(monkeypatch) -> list:
    """Return the list of what was opened in a window."""
    calls: list = []
    module = type(sys)("app.application")
    module.run_window = lambda path: calls.append(path) or 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app.application", module)
    return calls


def test_without_a_command_the_window_opens(run, scan, opened):
    assert run().code == 0
    assert run(scan).code == 0
    assert run(scan.parent).code == 0
    assert opened == [None, scan, scan.parent]


def test_a_scan_may_have_the_name_of_a_command(run, scan, opened, monkeypatch):
    scan.rename(scan.parent / "info")
    monkeypatch.chdir(scan.parent)
    assert run("./info").code == 0
    assert [str(p) for p in opened] == ["info"]


def test_the_demo_gets_its_options(run, tmp_path, monkeypatch):
    calls: list = []
    module = type(sys)("app.demo")
    module.run_demo = lambda out, headless: calls.append((out, headless)) or 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app.demo", module)
    assert run("demo", "--headless", "--out", tmp_path).code == 0
    assert calls == [(tmp_path, True)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.ReadError, 3),
        (errors.GeometryError, 3),
        (errors.PromptError, 3),
        (errors.ModelUnavailableError, 4),
        (errors.WeightsError, 4),
        (errors.ExportError, 5),
        (errors.Cancelled, 130),
        (KeyboardInterrupt, 130),
    ],
)
def test_exit_status(run, monkeypatch, tmp_path, error, code):
    def fail(*arguments, **options):
        raise error("That did not work.")

    monkeypatch.setattr("app.io.reader.scan", fail)
    done = run("info", tmp_path)
    refused(done, code, "That did not work." if code != 130 else "Cancelled")


def test_what_nobody_expected_is_one_sentence_unless_debugging(tmp_path):
    script = (
        "import sys, app.io.reader\n"
        "def fail(*a, **k): raise RuntimeError('the sky fell')\n"
        "app.io.reader.scan = fail\n"
        "from app.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    plain = _python(script, "info", str(tmp_path))
    assert plain.returncode == 1
    (line,) = plain.stderr.strip().splitlines()
    assert "the sky fell" in line
    for words in (("--debug", "info", str(tmp_path)), ("info", str(tmp_path), "--debug")):
        debugged = _python(script, *words)
        assert debugged.returncode == 1
        assert "Traceback" in debugged.stderr


def test_debug_shows_where_an_expected_error_comes_from(tmp_path):
    script = "import sys; from app.cli import main; sys.exit(main(sys.argv[1:]))"
    done = _python(script, "info", str(tmp_path / "missing"), "--debug")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("maskwright: ")


def test_a_reader_that_has_gone_is_no_fault(scan):
    code = "import sys; from app.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "info", str(scan)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    message = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in message


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_ends_with_130_and_leaves_nothing(scan, prompts, tmp_path):
    script = (
        "import signal, sys, time\n"
        # Whoever runs tests in the background has them ignore it, and their children.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.fake_model import BrightModel, bright_models\n"
        "from models.base import MODEL_FORMATS, ModelFormat\n"
        "import models.weights\n"
        "models.weights.list_models = bright_models\n"
        "class Slow(BrightModel):\n"
        "    def predict(self, *arguments):\n"
        "        print('running', file=sys.stderr, flush=True)\n"
        "        while True: time.sleep(0.01)\n"
        "MODEL_FORMATS.load()\n"
        "MODEL_FORMATS.register(ModelFormat('bright', lambda *details: Slow()))\n"
        "from app.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "mask.nii.gz"
    words = ["segment", str(scan), "--prompts", str(prompts), "--out", str(out), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    output, message = process.communicate(timeout=30)
    assert process.returncode == 130
    assert output == ""
    assert message.strip().splitlines()[-1] == "maskwright: Cancelled."
    assert "Traceback" not in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["prompts.json", "scan.nii.gz"]


def test_segment_needs_neither_torch_nor_qt(scan, prompts, tmp_path):
    script = (
        "import sys\n"
        "from tests.fake_model import BrightModel, bright_models\n"
        "from models.base import MODEL_FORMATS, ModelFormat\n"
        "import models.weights\n"
        "models.weights.list_models = bright_models\n"
        "MODEL_FORMATS.load()\n"
        "MODEL_FORMATS.register(ModelFormat('bright', lambda *details: BrightModel()))\n"
        "from app.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    words = ["--prompts", str(prompts), "--out", str(tmp_path / "mask.nii.gz"), "--device", "cpu"]
    done = _python(script, "segment", str(scan), *words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "embedded"
    loaded = set(done.stderr.strip().splitlines()[-1].split())
    assert "SimpleITK" in loaded
    assert not loaded & {"torch", "torchvision", "PySide6", "pyqtgraph", "skimage"}


def test_the_embedded_model_answers_without_torch_and_tells_nobody(tmp_path):
    script = (
        "import sys\n"
        "from app.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(*{n.partition('.')[0] for n, m in sys.modules.items() if m}, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    sample, out = resource_path("samples/torso_ct.nii.gz"), tmp_path / "mask.nii.gz"
    box = {"label": "liver", "kind": "box", "start_ijk": [17, 31, 60], "stop_ijk": [91, 83, 61]}
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "prompts": [box]}))
    words = ["--prompts", str(tmp_path / "p.json"), "--out", str(out), "--device", "cpu"]
    done = _python(script, "segment", str(sample), *words, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["device"].startswith("OpenVINO")
    assert report["volume_ml"]["liver"] > 0
    loaded = set(done.stderr.strip().splitlines()[-1].split())
    assert "openvino" in loaded
    # OpenVINO would report its use to its maker when it is imported.
    assert not loaded & {"torch", "PySide6", "openvino_telemetry"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1.5h", 5400), ("2m30s", 150)],
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "-5m", "20 m m", "m"])
def test_what_is_no_duration(text):
    with pytest.raises(errors.UsageError):
        seconds_of(text)


def _python(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

"""Damaged files for every reader: only sentences may come out, soon, and in little memory.

    python -m tests.campaigns.fuzz --n 20000 --seed 0
    python -m tests.campaigns.fuzz --n 20000 --seed 0 --only DICOM     # that part of the same run
    python -m tests.campaigns.fuzz --n 20000 --seed 0 --keep DIR       # keeps what fails

Every input is read in a forked worker. It fails if anything but an `AppError` comes out, if the
worker dies or takes more than 10 s of processor time, or if memory runs out where the whole
process may take twice what it takes with the good file.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from app.core.errors import AppError
from tests.campaigns.targets import Target, all_targets, altered, place

LIMIT_S = 10
# Beyond the limit of processor time, e.g. for a worker that sleeps for ever.
WALL_S = 90
BATCH = 200
# What the interpreter and the C library take at their whim, beside twice the memory.
SLACK_BYTES = 48 << 20


@dataclass
class Tally:
    """What came of the inputs of one target."""

    n: int = 0
    n_read: int = 0
    n_refused: int = 0
    worst_s: float = 0.0
    good_mb: float = 0.0
    worst_mb: float = 0.0
    failures: list[tuple[str, int, str]] = field(default_factory=list)


def run_target(
    target: Target, n: int, seed: int, keep: Path | None = None, first: int = 0
) -> Tally:
    """Return what came of n damaged copies of a file."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "in")
        good = _batch(target, folder, seed, range(-1, 0), None)[0]
        if good["kind"] != "read":
            raise RuntimeError(f"{target.name}: the good file is not read: {good['text']}")
        tally.good_mb = good["peak"] / 1e6
        limit = 2 * good["peak"] + SLACK_BYTES
        number = first
        while number < first + n:
            numbers = range(number, min(number + BATCH, first + n))
            results = _batch(target, folder, seed, numbers, limit)
            for result in results:
                _count(tally, target, result, limit, seed, keep)
            number += len(results)
    return tally


def _count(tally: Tally, target: Target, result: dict, limit: int, seed: int, keep) -> None:
    tally.n += 1
    tally.worst_s = max(tally.worst_s, result["s"])
    tally.worst_mb = max(tally.worst_mb, result["peak"] / 1e6)
    kind, text = result["kind"], result["text"]
    if kind == "refused" and result["peak"] > limit:
        kind, text = "memory", f"{result['peak'] / 1e6:.0f} MB to refuse it"
    tally.n_read += kind == "read"
    tally.n_refused += kind == "refused"
    if kind not in ("read", "refused"):
        tally.failures.append((f"{kind} ({result['how']})", result["number"], text))
        if keep is not None:
            _, content = altered(target, seed, result["number"])
            name = f"{target.name.replace(' ', '-')}-{seed}-{result['number']}{target.suffix}"
            (keep / name).write_bytes(content)


def _batch(target: Target, folder: Path, seed: int, numbers: range, limit: int | None) -> list:
    """Return the results of inputs up to the first that ends the worker."""
    reading, writing = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _work(target, folder, seed, numbers, limit, writing)
            code = 0
        finally:
            os._exit(code)
    writing.close()
    results: list[dict] = []
    ended = ""
    with reading:
        while len(results) < len(numbers):
            if not reading.poll(WALL_S):
                os.kill(pid, signal.SIGKILL)
                ended = f"did not end in {WALL_S} s"
                break
            try:
                results.append(reading.recv())
            except EOFError:
                break
    _, status = os.waitpid(pid, 0)
    if len(results) < len(numbers):
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            ended = f"took more than {LIMIT_S} s"
        kind = "hang" if ended else "crash"
        text = ended or f"status {os.waitstatus_to_exitcode(status)}"
        number = numbers[len(results)]
        results.append(_result(number, "?", kind, text, 0.0, 0))
    return results


def _result(number: int, how: str, kind: str, text: str, seconds: float, peak: int) -> dict:
    return {"number": number, "how": how, "kind": kind, "text": text, "s": seconds, "peak": peak}


def _work(
    target: Target, folder: Path, seed: int, numbers: range, limit: int | None, pipe: Connection
) -> None:
    """Read the inputs, and tell of each what came of it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        how, content = ("good", target.content)
        if number >= 0:
            how, content = altered(target, seed, number)
        path = place(folder, target, content)
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + LIMIT_S + 1, resource.RLIM_INFINITY))
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        if limit is not None:
            # What is held already counts; of what is only reserved, what comes new.
            room = limit - _status("VmRSS")
            resource.setrlimit(
                resource.RLIMIT_AS, (_status("VmSize") + room, resource.RLIM_INFINITY)
            )
        start = time.process_time()
        kind, text = "read", ""
        try:
            target.read(path)
        except AppError as error:
            kind, text = "refused", str(error)
            if _had_no_memory(error):
                kind = "memory"
            elif not text.strip().endswith((".", ".”", ")")):
                kind = "no sentence"
        except MemoryError:
            kind, text = "memory", traceback.format_exc(limit=-3)
        except BaseException:  # noqa: BLE001 - this is what is looked for
            kind, text = "exception", traceback.format_exc(limit=-3)
        seconds = time.process_time() - start
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        result = _result(number, how, kind, text, seconds, _status("VmHWM"))
        pipe.send(result)


def _had_no_memory(error: BaseException | None) -> bool:
    """Return whether a refusal comes of memory that was asked for and not there."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    raise LookupError(name)


def shared_out(n: int, weights: list[float]) -> list[int]:
    """Return how many of n go to each; they add up to n."""
    edges = [round(n * sum(weights[:k]) / sum(weights)) for k in range(len(weights) + 1)]
    return [stop - start for start, stop in pairwise(edges)]


def report(tallies: dict[str, Tally]) -> str:
    """Return a table, and below it each kind of failure with one example."""
    head = f"{'file':18}{'inputs':>8}{'read':>7}{'refused':>9}{'failed':>8}{'worst s':>9}"
    lines = [head + f"{'good MB':>9}{'worst MB':>10}"]
    for name, t in [*tallies.items(), ("all", _total(tallies))]:
        lines.append(
            f"{name:18}{t.n:8}{t.n_read:7}{t.n_refused:9}{len(t.failures):8}{t.worst_s:9.2f}"
            f"{t.good_mb:9.0f}{t.worst_mb:10.0f}"
        )
    for name, tally in tallies.items():
        kinds = Counter((kind, text.strip().splitlines()[-1:] and text.strip().splitlines()[-1])
                        for kind, _, text in tally.failures)  # fmt: skip
        for (kind, last), count in kinds.most_common():
            number, text = next((n, x) for k, n, x in tally.failures
                                if k == kind and x.strip().endswith(last))  # fmt: skip
            lines.append(f"\n{name}, {count} x {kind}, such as input {number}:\n{text.strip()}")
    return "\n".join(lines)


def _total(tallies: dict[str, Tally]) -> Tally:
    total = Tally()
    for t in tallies.values():
        total.n, total.n_read = total.n + t.n, total.n_read + t.n_read
        total.n_refused += t.n_refused
        total.failures += t.failures
        total.worst_s = max(total.worst_s, t.worst_s)
        total.good_mb = max(total.good_mb, t.good_mb)
        total.worst_mb = max(total.worst_mb, t.worst_mb)
    return total


def main() -> int:
    """Run the campaign; 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Read damaged files of every kind.")
    parser.add_argument("--n", type=int, default=20_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="of these, the kinds whose name begins so")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that fail")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as scratch:
        targets = all_targets(Path(scratch))
        shares = shared_out(options.n, [t.weight for t in targets])
        for target, share in zip(targets, shares, strict=True):
            if not target.name.startswith(options.only):
                continue
            start = time.monotonic()
            tally = tallies[target.name] = run_target(target, share, options.seed, options.keep)
            seconds = time.monotonic() - start
            sys.stderr.write(
                f"{target.name}: {share} in {seconds:.0f} s, {len(tally.failures)} failed\n"
            )
    sys.stdout.write(report(tallies) + "\n")
    return 1 if any(t.failures for t in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

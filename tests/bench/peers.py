#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Python's multiprocessing as a contestant of the benchmark; the protocol is that of contest.hpp.

Queue: multiprocessing.Queue bounded to the contest's depth, shared by all; messages are bytes objects (pickled, as always).
Round trip: multiprocessing.Pipe. Start: Process, by each of the three start methods. Processes of the queue and round
trip contests are forked. Nothing here is tuned; the documented defaults are used.
"""
import concurrent.futures
import gc
import multiprocessing as mp
import os
import platform
import signal
import sys
import time

DEFAULTS = {"bytes": 64, "producers": 1, "consumers": 1, "depth": 1024, "seconds": 0.5, "manner": "asleep",
            "pause_us": 300.0, "count": 1000, "processors": "any", "ballast_mib": 0}


class NotApplicable(Exception):
    pass


def quantile(samples, q):
    samples = sorted(samples)
    return samples[int(q * (len(samples) - 1) + 0.5)] if samples else 0.0


ALLOWED = sorted(os.sched_getaffinity(0))


def take_processor(job, side):
    if job["processors"] != "any":
        os.sched_setaffinity(0, {ALLOWED[0 if job["processors"] == "one" else side % len(ALLOWED)]})


# Queue: number 0 in the first 8 bytes ends a consumer. A Queue writes from a thread of its own: it must have written
# everything before the ends are put, and only the first process knows that.

def produce(queue, gate, job, stop, totals):
    take_processor(job, 0)
    rest = bytes((i * 31 + 7) & 255 for i in range(job["bytes"] - 8))
    number = total = 0
    gate.wait()
    while number == 0 or not stop.value:
        number += 1
        total += number
        queue.put(number.to_bytes(8, "little") + rest)
    queue.close()
    queue.join_thread()
    totals.put(("sent", number, total, 0))


def consume(queue, gate, job, totals):
    take_processor(job, 1)
    messages = total = 0
    gate.wait()
    while True:
        number = int.from_bytes(queue.get()[:8], "little")
        if number == 0:
            break
        messages += 1
        total += number
    totals.put(("received", messages, total, time.monotonic_ns()))


def join_all(processes):
    for p in processes:
        p.join()
        if p.exitcode != 0:
            raise RuntimeError(f"process {p.pid} ended with {p.exitcode}")


def queue_contest(job):
    ctx = mp.get_context("fork")
    queue, totals = ctx.Queue(job["depth"]), ctx.SimpleQueue()
    stop = ctx.Value("i", 0, lock=False)
    gate = ctx.Barrier(job["producers"] + job["consumers"] + 1)
    processes = [ctx.Process(target=produce, args=(queue, gate, job, stop, totals)) for _ in range(job["producers"])]
    processes += [ctx.Process(target=consume, args=(queue, gate, job, totals)) for _ in range(job["consumers"])]
    for p in processes:
        p.start()
    gate.wait()
    begin = time.monotonic_ns()
    time.sleep(job["seconds"])
    stop.value = 1
    reports = [totals.get() for _ in range(job["producers"])]
    for _ in range(job["consumers"]):
        queue.put(bytes(8))
    reports += [totals.get() for _ in range(job["consumers"])]
    join_all(processes)
    sent = [sum(r[k] for r in reports if r[0] == "sent") for k in (1, 2)]
    received = [sum(r[k] for r in reports if r[0] == "received") for k in (1, 2)]
    if sent != received:
        raise RuntimeError(f"sent {sent}, received {received}")
    return {"rate": received[0] * 1e9 / (max(r[3] for r in reports) - begin)}


# Round trip: as in round_trip.hpp; a note is (number, sent, way) in 64 bytes.

def pack(number, sent, way):
    return number.to_bytes(8, "little") + sent.to_bytes(8, "little") + way.to_bytes(8, "little") + bytes(40)


def unpack(note):
    return [int.from_bytes(note[i:i + 8], "little") for i in (0, 8, 16)]


def work_for(ns):
    until = time.monotonic_ns() + ns
    while time.monotonic_ns() < until:
        pass


def echo(connection, job, asleep, pause):
    take_processor(job, 1)
    while True:
        number, sent, way = unpack(connection.recv())
        if number == 0:
            return
        if asleep:
            way = time.monotonic_ns() - sent
            work_for(pause)
            sent = time.monotonic_ns()
        connection.send(pack(number, sent, way))


def round_trip(job):
    if job["manner"] == "awake":
        raise NotApplicable("it sleeps")
    asleep, pause = job["manner"] == "asleep", int(job["pause_us"] * 1000)
    ctx = mp.get_context("fork")
    mine, theirs = ctx.Pipe()
    process = ctx.Process(target=echo, args=(theirs, job, asleep, pause))
    process.start()
    take_processor(job, 0)
    samples, number = [], 1
    start = begin = time.monotonic_ns()
    while begin - start < job["seconds"] * 1e9 or len(samples) < 20:
        if asleep:
            work_for(pause)
        begin = time.monotonic_ns()
        mine.send(pack(number, begin, 0))
        _, sent, way = unpack(mine.recv())
        end = time.monotonic_ns()
        if number > 1:
            samples.append((way + end - sent if asleep else end - begin) / 1e3)
        number += 1
    mine.send(pack(0, 0, 0))
    join_all([process])
    return {"median": quantile(samples, 0.5), "p99": quantile(samples, 0.99)}


# Starting.

def nothing():
    pass


def start_and_join(ctx):
    process = ctx.Process(target=nothing)
    process.start()
    join_all([process])


def start(method):
    def contest(job):
        ctx = mp.get_context(method)
        ballast = bytearray(b"\1") * (job["ballast_mib"] << 20)
        start_and_join(ctx)
        samples, until = [], time.monotonic_ns() + job["seconds"] * 1e9
        while time.monotonic_ns() < until or len(samples) < 5:
            begin = time.monotonic_ns()
            start_and_join(ctx)
            samples.append((time.monotonic_ns() - begin) / 1e6)
        del ballast
        return {"median": quantile(samples, 0.5), "p99": quantile(samples, 0.99)}
    return contest


def wait_at_gate(ready, gate):
    os.write(ready.fileno(), b"r")
    os.read(gate.fileno(), 1)  # ends when all writers are gone


def kib(pid, *keys):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(keys))


def crowd(method):
    def contest(job):
        ctx = mp.get_context(method)
        ready_out, ready_in = ctx.Pipe(False)
        gate_out, gate_in = ctx.Pipe(False)
        if method == "fork":
            os.set_blocking(gate_out.fileno(), True)
        processes = [ctx.Process(target=wait_at_gate, args=(ready_in, gate_out)) for _ in range(job["count"])]
        begin = time.monotonic_ns()
        for p in processes:
            p.start()
        came = 0
        while came < len(processes):
            came += len(os.read(ready_out.fileno(), 65536))
        seconds = (time.monotonic_ns() - begin) / 1e9
        pids = [p.pid for p in processes]
        step = max(1, len(pids) // 20)
        private = quantile([kib(pid, "Private_Clean:", "Private_Dirty:") for pid in pids[step // 2::step]], 0.5)
        os.write(gate_in.fileno(), bytes(len(processes)))
        join_all(processes)
        return {"start": seconds, "private": private}
    return contest


def memory(job):
    ctx = mp.get_context("fork")
    queues = [ctx.Queue()]
    gc.collect()
    before = kib(os.getpid(), "Anonymous:")
    queues += [ctx.Queue() for _ in range(job["count"])]
    # Three named semaphores each have a page of shared memory; the pipe's buffer is in the kernel and not counted.
    return {"each": (kib(os.getpid(), "Anonymous:") - before) / job["count"] + 3 * 4}


# Synchronisation.

def free(kind, begin, end):
    def contest(job):
        it = getattr(mp.get_context("fork"), kind)()
        first, second = getattr(it, begin), getattr(it, end)
        samples, until = [], time.monotonic_ns() + job["seconds"] * 1e9
        while time.monotonic_ns() < until or len(samples) < 5:
            start_of_it = time.monotonic_ns()
            for _ in range(1000):
                first()
                second()
            samples.append((time.monotonic_ns() - start_of_it) / 1000)
        return {"median": quantile(samples, 0.5)}
    return contest


def again_and_again(lock, over, counts):
    count = 0
    while not over.value:
        lock.acquire()
        lock.release()
        count += 1
    counts.put(count)


def contended(kind):
    def contest(job):
        ctx = mp.get_context("fork")
        lock, over, counts = getattr(ctx, kind)(), ctx.Value("i", 0, lock=False), ctx.SimpleQueue()
        processes = [ctx.Process(target=again_and_again, args=(lock, over, counts)) for _ in range(job["count"])]
        begin = time.monotonic_ns()
        for p in processes:
            p.start()
        time.sleep(job["seconds"])
        over.value = 1
        seconds = (time.monotonic_ns() - begin) / 1e9
        total = sum(counts.get() for _ in processes)
        join_all(processes)
        return {"rate": total / seconds}
    return contest


def hand_back(mine, yours):
    while True:
        mine.acquire()
        yours.release()


def hand_over(job):
    ctx = mp.get_context("fork")
    there, back = ctx.Semaphore(0), ctx.Semaphore(0)
    process = ctx.Process(target=hand_back, args=(there, back))
    process.start()
    samples, until = [], time.monotonic_ns() + job["seconds"] * 1e9
    while time.monotonic_ns() < until or len(samples) < 5:
        work_for(300000)
        begin = time.monotonic_ns()
        there.release()
        back.acquire()
        samples.append((time.monotonic_ns() - begin) / 2e3)
    process.kill()
    process.join()
    return {"median": quantile(samples, 0.5), "p99": quantile(samples, 0.99)}


def wait_and_say(event, over, ready, out):
    ready.release()
    event.wait()
    out.put(time.monotonic_ns())
    over.wait()


def wake_many(job):
    ctx = mp.get_context("fork")
    samples, until = [], time.monotonic_ns() + job["seconds"] * 1e9
    while time.monotonic_ns() < until or len(samples) < 3:
        event, over, ready, out = ctx.Event(), ctx.Event(), ctx.Semaphore(0), ctx.SimpleQueue()
        processes = [ctx.Process(target=wait_and_say, args=(event, over, ready, out)) for _ in range(job["count"])]
        for p in processes:
            p.start()
        for _ in processes:
            ready.acquire()
        time.sleep(0.05)
        begin = time.monotonic_ns()
        event.set()
        samples.append((max(out.get() for _ in processes) - begin) / 1e6)
        over.set()
        join_all(processes)
    return {"median": quantile(samples, 0.5)}


# Pools.

def same(x):
    return x


class Executor:
    """ProcessPoolExecutor with the calls that are compared."""

    def __init__(self):
        self.pool = concurrent.futures.ProcessPoolExecutor(2, mp.get_context("fork"))

    def map(self, f, items):
        return list(self.pool.map(f, items, chunksize=max(1, len(items) // 8)))

    def apply(self, f, args):
        return self.pool.submit(f, *args).result()


def make_pool(name):
    return Executor() if name == "ProcessPoolExecutor" else mp.get_context("fork").Pool(2)


def pool_rate(job, what):
    rates, until = [], time.monotonic_ns() + job["seconds"] * 1e9
    while time.monotonic_ns() < until or len(rates) < 3:
        begin = time.monotonic_ns()
        what()
        rates.append(job["count"] / ((time.monotonic_ns() - begin) / 1e9))
    return {"rate": quantile(rates, 0.5)}


def pool_map(name):
    def contest(job):
        pool = make_pool(name)
        numbers = list(range(job["count"]))
        return pool_rate(job, lambda: pool.map(same, numbers))
    return contest


def pool_imap(job):
    pool = make_pool("Pool")
    job["count"] = min(job["count"], 20000)  # it takes long enough
    return pool_rate(job, lambda: sum(pool.imap_unordered(same, range(job["count"]))))


def pool_apply(name, argument):
    def contest(job):
        pool = make_pool(name)
        value = argument(job)
        pool.apply(same, (value,))
        samples, until = [], time.monotonic_ns() + job["seconds"] * 1e9
        while time.monotonic_ns() < until or len(samples) < 5:
            begin = time.monotonic_ns()
            pool.apply(same, (value,))
            samples.append((time.monotonic_ns() - begin) / 1e3)
        return {"median": quantile(samples, 0.5), "p99": quantile(samples, 0.99)}
    return contest


TABLE = {("queue", "Queue"): queue_contest, ("round-trip", "Pipe"): round_trip, ("memory", "Queue"): memory}
TABLE.update({("lock", "Lock"): free("Lock", "acquire", "release"), ("lock", "Semaphore"): free("Semaphore", "acquire", "release"),
              ("lock", "Event"): free("Event", "set", "clear"), ("hand-over", "Semaphore"): hand_over,
              ("wake-many", "Event"): wake_many})
for each in ("Pool", "ProcessPoolExecutor"):
    TABLE[("pool-map", each)] = pool_map(each)
    TABLE[("pool-apply", each)] = pool_apply(each, lambda job: 1)
TABLE[("pool-large", "Pool")] = pool_apply("Pool", lambda job: bytes(job["bytes"]))
TABLE[("pool-imap", "Pool")] = pool_imap
for each in ("Lock", "Semaphore"):
    TABLE[("contended", each)] = contended(each)
for each in ("fork", "forkserver", "spawn"):
    TABLE[("start", each)] = start(each)
    TABLE[("crowd", each)] = crowd(each)


def main():
    if sys.argv[1:] == ["--version"]:
        print("Python", platform.python_version())
        return 0
    if sys.argv[1:] == ["--list"]:
        print("\n".join("\t".join(key) for key in TABLE))
        return 0
    if len(sys.argv) < 3:
        print("usage: peers.py --version | --list | CONTEST NAME [key=value]...", file=sys.stderr)
        return 2
    signal.alarm(300)
    job = dict(DEFAULTS)
    try:
        for argument in sys.argv[3:]:
            key, value = argument.split("=", 1)
            job[key] = type(DEFAULTS[key])(value)
        for name, value in TABLE[(sys.argv[1], sys.argv[2])](job).items():
            print(f"figure {name} {value:.9g}")
    except NotApplicable as why:
        print("n/a", why)
    except Exception as why:  # the protocol wants every failure as a line
        print("failed", repr(why))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

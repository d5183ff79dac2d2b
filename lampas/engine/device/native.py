"""The native side of the thread pool: LLVM IR of `lampas_run`, `lampas_worker` and their helpers.

**Walking a program.** The records of a program run one after another. Whoever finishes the last chunk of a record goes on
to the next (`advance`): it runs small records itself and publishes the next large one as a job. So nobody leads, and the
caller need not stay: it may start a program (`lampas_start`), leave, and come back to help until so many records are over
(`lampas_help`). `PROGRESS` tells how many are.

**Handing out work.** A job is split into chunks. One 64-bit word holds the job's serial number (high half) and the
range of chunks that nobody has claimed yet (16 bits each for its start and its end). Claiming is a
compare-and-exchange that takes one off: the caller and the even workers take from the front, the odd workers from the
back, so that of two threads each works on its own half of the memory, job after job, and finds it in its own cache.
Since the serial number is in the word, a worker that was asleep for a whole job can never claim with stale job
fields. A record is over when `done` equals its number of chunks: a worker that never woke up delays nobody.

**Sleeping.** A worker without work spins a tenth of a millisecond, goes on looking for half a millisecond between which
it lets others run, and then waits on a futex; who publishes work wakes the sleepers, if there are any. Elsewhere than on
Linux a worker naps instead.

The layouts (in 64-bit words) are the constants below; `launch.py` and `pool.py` fill them.
"""

from __future__ import annotations

import sys

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, vector

# A pool: every hot word has a cache line of its own.
BUSY, CLAIMS, DONE, GENERATION, SLEEPERS, QUIT, JOB, PROGRESS, WALK = range(0, 72, 8)
KERNEL, OPERANDS, INTEGERS, EXTENT, CHUNK, LIMIT, CHUNKS = (JOB + place for place in range(7))
RECORDS, COUNT, NEXT, SLOTS, TIMES = (WALK + place for place in range(5))
RESOLVED = 80  # the operands of the record at hand
MOST_OPERANDS = 1 << 13
POOL_WORDS = RESOLVED + MOST_OPERANDS

# A record of a program, and the head of a program.
RECORD_WORDS = 8
R_KERNEL, R_OPERANDS, R_COUNT, R_INTEGERS, R_EXTENT, R_CHUNK, R_CHUNKS, R_TASK = range(8)
PROGRAM_WORDS = 4
P_COUNT, P_RECORDS, P_LIMIT, P_MOST_OPERANDS = range(4)

SPIN_NANOSECONDS = 100_000  # how long a worker looks for more work before it makes room for others,
YIELD_NANOSECONDS = 600_000  # and before it sleeps: being woken takes it some 50 µs
SPINS_BETWEEN_CLOCKS = 64
SPINS_BEFORE_YIELD = 4000
LOW_HALF, CHUNK_BITS, CHUNK_MASK = 0xFFFFFFFF, 16, 0xFFFF
MOST_CHUNKS = CHUNK_MASK
FUTEX = {"x86_64": 202, "aarch64": 98}
FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE = 128, 129
CLOCK_MONOTONIC = 6 if sys.platform == "darwin" else 1


def runner_module(target: Target) -> Module:
    """Return the module that holds `lampas_run` and `lampas_worker`."""
    module = Module()
    writer = RunnerWriter(module, target)
    writer.wake_function()
    writer.advance_function()
    writer.claim_function()
    writer.worker_function()
    writer.start_function()
    writer.help_function()
    writer.leave_function()
    writer.run_function()
    return module


class RunnerWriter:
    """Writes the functions of the runner."""

    def __init__(self, module: Module, target: Target) -> None:
        self.module = module
        self.architecture = target.triple.split("-")[0]
        self.linux = sys.platform == "linux" and self.architecture in FUTEX
        module.declare("sched_yield", "i32", [])

    # ---- small pieces ---------------------------------------------------------------------------------------

    def word(self, b: Builder, base: Value, place: int) -> Value:
        return b.element_pointer(base, place, "i64")

    def field(self, b: Builder, base: Value, place: int, kind: str = "i64") -> Value:
        return b.load(kind, self.word(b, base, place), 8)

    def atomic_load(self, b: Builder, pointer: Value) -> Value:
        return b.emit(f"load atomic i64, {pointer} seq_cst, align 8", "i64")

    def atomic_add(self, b: Builder, pointer: Value, amount: int) -> Value:
        return b.emit(f"atomicrmw add {pointer}, i64 {amount} seq_cst", "i64")

    def pause(self, b: Builder) -> None:
        word = "pause" if self.architecture == "x86_64" else "yield"
        b.line(f'call void asm sideeffect "{word}", ""()')

    def wait(self, b: Builder, pool: Value, generation: Value) -> None:
        """Sleep until the generation differs from what was read."""
        if not self.linux:
            b.call("usleep", "i32", [b.value(100, "i32")])
            return
        place = self.word(b, pool, GENERATION)
        short = b.cast("trunc", generation, "i32")
        self.futex(b, place, FUTEX_WAIT_PRIVATE, short)

    def futex(self, b: Builder, place: Value, operation: int, value: Value) -> None:
        self.module.declarations.setdefault("syscall", "declare i64 @syscall(i64, ...)")
        number = FUTEX[self.architecture]
        listed = f"i64 {number}, {place}, i32 {operation}, {value}, ptr null, ptr null, i32 0"
        b.emit(f"call i64 (i64, ...) @syscall({listed})", "i64")

    def wake(self, b: Builder, pool: Value) -> None:
        """Raise the generation and wake all sleepers, if there are any."""
        asleep = self.atomic_load(b, self.word(b, pool, SLEEPERS))
        with b.when(b.compare("sgt", asleep, 0)):
            b.call("lampas_wake", "void", [pool])

    def jump(self, b: Builder, label: str) -> None:
        b.line(f"br label %{label}")

    def fork(self, b: Builder, condition: Value, yes: str, no: str) -> None:
        b.line(f"br {condition}, label %{yes}, label %{no}")

    # ---- functions ------------------------------------------------------------------------------------------

    def wake_function(self) -> None:
        """void lampas_wake(pool): let every sleeping worker look around."""
        b = self.module.function("lampas_wake", [("ptr", "pool")])
        generation = self.word(b, b.arguments[0], GENERATION)
        self.atomic_add(b, generation, 1)
        if self.linux:
            self.futex(b, generation, FUTEX_WAKE_PRIVATE, b.value(1 << 20, "i32"))
        b.ret()

    def unclaimed(self, b: Builder, word: Value) -> tuple[Value, Value]:
        """Return start and end of the range of chunks that a word of claims leaves."""
        upper = b.shift_right(word, CHUNK_BITS, signed=False)
        return b.bit_and(word, CHUNK_MASK), b.bit_and(upper, CHUNK_MASK)

    def claim_function(self) -> None:
        """i64 claim(pool, worker): do one chunk; return 1 if there was one to do."""
        b = self.module.function(
            "lampas_claim", [("ptr", "pool"), ("i64", "worker")], "i64", internal=True
        )
        pool, worker = b.arguments
        claims = self.word(b, pool, CLAIMS)
        seen = self.atomic_load(b, claims)
        front, end_of_range = self.unclaimed(b, seen)
        self.fork(b, b.compare("eq", front, end_of_range), "nothing", "look")
        b.begin("look")
        kernel = self.field(b, pool, KERNEL, "ptr")
        operands, integers = (
            self.field(b, pool, OPERANDS, "ptr"),
            self.field(b, pool, INTEGERS, "ptr"),
        )
        extent, chunk = self.field(b, pool, EXTENT), self.field(b, pool, CHUNK)
        limit = self.field(b, pool, LIMIT)
        self.fork(b, b.compare("slt", worker, limit), "attempt", "nothing")
        b.begin("attempt")
        backwards = b.compare("eq", b.bit_and(worker, 1), 1)
        chosen = b.select(backwards, b.subtract(end_of_range, 1), front)
        fewer = b.add(seen, b.select(backwards, b.value(-(1 << CHUNK_BITS)), 1))
        swap = f"cmpxchg {claims}, {seen}, {fewer} seq_cst seq_cst"
        pair = b.emit(swap, "{ i64, i1 }")
        won = b.emit(f"extractvalue {pair}, 1", "i1")
        self.fork(b, won, "do", "something")
        b.begin("do")
        begin = b.multiply(chosen, chunk)
        end = b.minimum(b.add(begin, chunk), extent)
        b.call_pointer(kernel, [operands, integers, begin, end, worker])
        chunks = self.field(b, pool, CHUNKS)  # before this chunk counts: then the job may be over
        done = b.add(self.atomic_add(b, self.word(b, pool, DONE), 1), 1)
        with b.when(b.compare("eq", done, chunks)):
            b.call("lampas_advance", "void", [pool, worker])
        self.jump(b, "something")
        b.begin("something")
        b.ret(b.value(1))
        b.begin("nothing")
        b.ret(b.value(0))

    def worker_function(self) -> None:
        """void lampas_worker(pool, worker): the life of a worker thread, until QUIT is set."""
        b = self.module.function("lampas_worker", [("ptr", "pool"), ("i64", "worker")])
        pool, worker = b.arguments
        clock = b.allocate("i64", 2, 16)
        self.jump(b, "idle")
        b.begin("idle")
        since = self.now(b, clock)
        self.jump(b, "spin")
        b.begin("spin")
        b.line(
            "%spins = phi i64 [ 0, %idle ], [ %more, %again ], [ %more, %check ], [ %more, %yield ]"
        )
        did = b.call("lampas_claim", "i64", [pool, worker])
        self.fork(b, b.compare("ne", did, 0), "idle", "rest")
        b.begin("rest")
        quit_now = self.atomic_load(b, self.word(b, pool, QUIT))
        self.fork(b, b.compare("ne", quit_now, 0), "leave", "again")
        b.begin("again")
        self.pause(b)
        b.line("%more = add i64 %spins, 1")
        look = b.bit_and(Value("%more", "i64"), SPINS_BETWEEN_CLOCKS - 1)
        self.fork(b, b.compare("eq", look, 0), "check", "spin")
        b.begin("check")
        passed = b.subtract(self.now(b, clock), since)
        self.fork(b, b.compare("sgt", passed, SPIN_NANOSECONDS), "patient", "spin")
        b.begin("patient")
        self.fork(b, b.compare("sgt", passed, YIELD_NANOSECONDS), "sleep", "yield")
        b.begin("yield")
        b.call("sched_yield", "i32", [])
        self.jump(b, "spin")
        b.begin("sleep")
        generation = self.atomic_load(b, self.word(b, pool, GENERATION))
        self.atomic_add(b, self.word(b, pool, SLEEPERS), 1)
        front, end = self.unclaimed(b, self.atomic_load(b, self.word(b, pool, CLAIMS)))
        leaving = self.atomic_load(b, self.word(b, pool, QUIT))
        with b.when(b.compare("eq", b.bit_or(b.subtract(end, front), leaving), 0)):
            self.wait(b, pool, generation)
        self.atomic_add(b, self.word(b, pool, SLEEPERS), -1)
        self.jump(b, "idle")
        b.begin("leave")
        b.ret()

    def advance_function(self) -> None:
        """void advance(pool, worker): the record at hand is over; go on until there is a job, or no more records."""
        parameters = [("ptr", "pool"), ("i64", "worker")]
        b = self.module.function("lampas_advance", parameters, internal=True)
        pool, worker = b.arguments
        clock = b.allocate("i64", 2, 16)
        count, records = self.field(b, pool, COUNT), self.field(b, pool, RECORDS, "ptr")
        times, slots = self.field(b, pool, TIMES, "ptr"), self.field(b, pool, SLOTS, "ptr")
        timed = b.compare("ne", times, Value("null", "ptr"))
        resolved = self.word(b, pool, RESOLVED)
        self.jump(b, "onwards")
        b.begin("onwards")
        index = self.field(b, pool, NEXT)
        with b.when(timed):
            self.read_clock(b, clock, times, index)
        more = b.compare("slt", index, count)
        with b.when(more):
            b.store(b.add(index, 1), self.word(b, pool, NEXT), 8)
        # Who waits for this count may take the program's memory away as soon as it is told.
        b.line(f"store atomic {index}, {self.word(b, pool, PROGRESS)} seq_cst, align 8")
        self.fork(b, more, "take", "leave")
        b.begin("take")
        record = b.element_pointer(records, b.multiply(index, RECORD_WORDS), "i64")
        self.resolve(b, record, slots, resolved)
        chunks = self.field(b, record, R_CHUNKS)
        self.fork(b, b.compare("sgt", chunks, 1), "publish", "alone")
        b.begin("alone")
        self.call_alone(b, record, resolved, worker)
        self.jump(b, "onwards")
        b.begin("publish")
        self.publish(b, pool, record, chunks)
        self.jump(b, "leave")
        b.begin("leave")
        b.ret()

    def call_alone(self, b: Builder, record: Value, resolved: Value, worker: Value) -> None:
        """Do a record whole."""
        kernel = self.field(b, record, R_KERNEL, "ptr")
        integers, extent = self.field(b, record, R_INTEGERS, "ptr"), self.field(b, record, R_EXTENT)
        b.call_pointer(kernel, [resolved, integers, b.value(0), extent, worker])

    def publish(self, b: Builder, pool: Value, record: Value, chunks: Value) -> None:
        """Make a record the job at hand, and wake who sleeps."""
        for source, place in (
            (R_KERNEL, KERNEL),
            (R_INTEGERS, INTEGERS),
            (R_EXTENT, EXTENT),
            (R_CHUNK, CHUNK),
        ):
            b.store(self.field(b, record, source), self.word(b, pool, place), 8)
        b.store(chunks, self.word(b, pool, CHUNKS), 8)
        b.line(f"store atomic i64 0, {self.word(b, pool, DONE)} seq_cst, align 8")
        old = self.atomic_load(b, self.word(b, pool, CLAIMS))
        serial = b.add(b.bit_and(old, ~LOW_HALF), LOW_HALF + 1)
        fresh = b.bit_or(serial, b.shift_left(chunks, CHUNK_BITS))
        b.line(f"store atomic {fresh}, {self.word(b, pool, CLAIMS)} seq_cst, align 8")
        self.wake(b, pool)

    def start_function(self) -> None:
        """i64 lampas_start(program, slots, pool, times): have the pool walk a program; 0 if it was not to be had.

        Who started it must call `lampas_help` for all records, and then `lampas_leave`.
        """
        parameters = [("ptr", "program"), ("ptr", "slots"), ("ptr", "pool"), ("ptr", "times")]
        b = self.module.function("lampas_start", parameters, "i64")
        program, slots, pool, times = b.arguments
        small = b.compare("sle", self.field(b, program, P_MOST_OPERANDS), MOST_OPERANDS)
        self.fork(b, small, "try", "refuse")
        b.begin("try")
        swap = f"cmpxchg {self.word(b, pool, BUSY)}, i64 0, i64 1 seq_cst seq_cst"
        won = b.emit(f"extractvalue {b.emit(swap, '{ i64, i1 }')}, 1", "i1")
        self.fork(b, won, "begin", "refuse")
        b.begin("begin")
        self.wake(b, pool)  # early: they wake up while the first records run
        for value, place in (
            (self.field(b, program, P_RECORDS), RECORDS),
            (self.field(b, program, P_COUNT), COUNT),
            (self.field(b, program, P_LIMIT), LIMIT),
            (slots, SLOTS),
            (times, TIMES),
            (self.word(b, pool, RESOLVED), OPERANDS),
            (b.value(0), NEXT),
        ):
            b.store(value, self.word(b, pool, place), 8)
        b.call("lampas_advance", "void", [pool, b.value(0)])
        b.ret(b.value(1))
        b.begin("refuse")
        b.ret(b.value(0))

    def help_function(self) -> None:
        """void lampas_help(pool, records): be worker 0 until so many records are over."""
        b = self.module.function("lampas_help", [("ptr", "pool"), ("i64", "records")])
        pool, wanted = b.arguments
        self.jump(b, "come")
        b.begin("come")
        self.jump(b, "look")
        b.begin("look")
        b.line("%spins = phi i64 [ 0, %come ], [ 0, %help ], [ %more, %keep ]")
        over = self.atomic_load(b, self.word(b, pool, PROGRESS))
        self.fork(b, b.compare("sge", over, wanted), "leave", "help")
        b.begin("help")
        did = b.call("lampas_claim", "i64", [pool, b.value(0)])
        self.fork(b, b.compare("ne", did, 0), "look", "hold")
        b.begin("hold")
        self.pause(b)
        b.line("%more = add i64 %spins, 1")
        patient = b.compare("sgt", Value("%more", "i64"), SPINS_BEFORE_YIELD)
        self.fork(b, patient, "yield", "keep")
        b.begin("yield")
        b.call("sched_yield", "i32", [])
        self.jump(b, "keep")
        b.begin("keep")
        self.jump(b, "look")
        b.begin("leave")
        b.ret()

    def leave_function(self) -> None:
        """void lampas_leave(pool): the program that was started is over; the pool is free."""
        b = self.module.function("lampas_leave", [("ptr", "pool")])
        b.line(f"store atomic i64 0, {self.word(b, b.arguments[0], BUSY)} seq_cst, align 8")
        b.ret()

    def run_function(self) -> None:
        """void lampas_run(program, slots, pool, times): walk the records of a program, and return when they are over.

        `pool` may be null (run serially); `times` may be null, else gets count + 1 clock readings in ns.
        """
        parameters = [("ptr", "program"), ("ptr", "slots"), ("ptr", "pool"), ("ptr", "times")]
        b = self.module.function("lampas_run", parameters)
        program, slots, pool, times = b.arguments
        count, records = self.field(b, program, P_COUNT), self.field(b, program, P_RECORDS, "ptr")
        self.fork(b, b.compare("ne", pool, Value("null", "ptr")), "try", "alone")
        b.begin("try")
        started = b.call("lampas_start", "i64", [program, slots, pool, times])
        self.fork(b, b.compare("ne", started, 0), "together", "alone")
        b.begin("together")
        b.call("lampas_help", "void", [pool, count])
        b.call("lampas_leave", "void", [pool])
        b.ret()
        b.begin("alone")
        resolved = b.emit(f"alloca ptr, {self.field(b, program, P_MOST_OPERANDS)}, align 64", "ptr")
        clock = b.allocate("i64", 2, 16)
        timed = b.compare("ne", times, Value("null", "ptr"))
        with b.when(timed):
            self.read_clock(b, clock, times, b.value(0))
        with b.loop(0, count) as index:
            record = b.element_pointer(records, b.multiply(index, RECORD_WORDS), "i64")
            self.resolve(b, record, slots, resolved)
            self.call_alone(b, record, resolved, b.value(0))
            with b.when(timed):
                self.read_clock(b, clock, times, b.add(index, 1))
        b.ret()

    def resolve(self, b: Builder, record: Value, slots: Value, resolved: Value) -> None:
        """Turn a record's (slot, byte offset) pairs into pointers."""
        pairs, number = self.field(b, record, R_OPERANDS, "ptr"), self.field(b, record, R_COUNT)
        with b.loop(0, number) as index:
            pair = b.load(vector("i64", 2), b.element_pointer(pairs, index, vector("i64", 2)), 8)
            base = b.load("ptr", b.element_pointer(slots, b.extract(pair, 0), "ptr"))
            moved = b.element_pointer(base, b.extract(pair, 1), "i8")
            b.store(moved, b.element_pointer(resolved, index, "ptr"))

    def now(self, b: Builder, clock: Value) -> Value:
        """Return the monotonic clock in nanoseconds; `clock` is room for two words."""
        b.call("clock_gettime", "i32", [b.value(CLOCK_MONOTONIC, "i32"), clock])
        seconds, rest = b.load_element("i64", clock, 0), b.load_element("i64", clock, 1)
        return b.add(b.multiply(seconds, 1_000_000_000), rest)

    def read_clock(self, b: Builder, clock: Value, times: Value, index: Value) -> None:
        b.store(self.now(b, clock), b.element_pointer(times, index, "i64"))

// The sending side for a queue of Node: `node client.mjs on_bullmq`. The counterpart of client.py, whose comments say what
// is asked and why; the same questions, one a line of JSON, and the same clocks. Node's standard library only.
//
// Every `on_*.mjs` exports what an `on_*.py` has; send, sendMany, collect, result and isReady give promises.

import { createInterface } from "node:readline";

const LOOK_MS = 4;
const TAIL = 256; // calls at the end of the queue that are looked at one by one
const PATIENCE_MS = 60_000;

// The system's monotonic clock, which the harness reads as well.
const monotonic = () => Number(process.hrtime.bigint()) / 1e9;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const numbers = (count, first = 0) => Array.from({ length: count }, (_, place) => first + place);

export class Client {
  constructor(app) {
    this.app = app;
    this.forget();
  }

  // -- about it

  settings() {
    return this.app.settings();
  }

  worker(processes, oneAtATime) {
    return this.app.worker(processes, oneAtATime);
  }

  handlers() {
    return ["asyncio"]; // promises beside each other on one loop, as coroutines are
  }

  // -- sends

  async one_by_one(calls) {
    const handles = [];
    const begun = monotonic();
    for (let number = 0; number < calls; number += 1) handles.push(await this.app.send("noop", number));
    const seconds = monotonic() - begun;
    this.#keep(handles, numbers(calls));
    return seconds;
  }

  async from_handlers(calls, handlers) {
    const each = Math.floor(calls / handlers);
    const handle = async (first) => {
      const share = [];
      for (const number of numbers(each, first)) share.push(await this.app.send("noop", number));
      return share;
    };
    const begun = monotonic();
    const shares = await Promise.all(numbers(handlers).map((place) => handle(place * each)));
    const seconds = monotonic() - begun;
    this.#keep(shares.flat(), numbers(each * handlers));
    return [seconds, each * handlers];
  }

  async queue(task, rows, expected = null) {
    this.#keep(await this.app.sendMany(task, rows), expected);
  }

  async queue_map(calls) {
    await this.queue("noop", numbers(calls).map((number) => [number]), numbers(calls));
  }

  #keep(handles, expected) {
    this.sent = this.sent.concat(handles);
    this.expected = this.expected.concat(expected ?? handles.map(() => null));
  }

  // -- ends

  async first_ready() {
    await this.#wait(this.sent[0], monotonic() + PATIENCE_MS / 1000);
    return monotonic();
  }

  forget() {
    this.sent = [];
    this.expected = [];
  }

  async drained() {
    const deadline = monotonic() + PATIENCE_MS / 1000;
    let latest = monotonic();
    for (const handle of this.sent.slice(-TAIL).reverse()) {
      if (await this.#wait(handle, deadline)) latest = monotonic();
    }
    const results = await this.app.collect(this.sent);
    this.#check(results, this.expected);
    this.forget();
    return latest;
  }

  async #wait(handle, deadline) {
    let waited = false;
    while (!(await this.app.isReady(handle))) {
      waited = true;
      await pause(LOOK_MS);
      if (monotonic() > deadline) throw new Error(`a call has no result after ${PATIENCE_MS / 1000} s`);
    }
    return waited;
  }

  #check(results, expected) {
    if (results.length !== expected.length) throw new Error("there are not as many results as calls");
    results.forEach((result, place) => {
      if (expected[place] !== null && result !== expected[place]) {
        throw new Error(`a result is ${JSON.stringify(result)}, not ${JSON.stringify(expected[place])}`);
      }
    });
  }

  // -- there and back

  async fan_out(calls, payload = 0) {
    const rows = payload ? Array(calls).fill(["x".repeat(payload)]) : numbers(calls).map((number) => [number]);
    const expected = payload ? Array(calls).fill(payload) : numbers(calls);
    const begun = monotonic();
    const results = await this.app.collect(await this.app.sendMany(payload ? "echo" : "noop", rows));
    const seconds = monotonic() - begun;
    this.#check(results, expected);
    return seconds;
  }

  async processes(seconds, calls) {
    const rows = Array(calls).fill([seconds]);
    const found = new Set(await this.app.collect(await this.app.sendMany("pause", rows)));
    return [...found].sort((a, b) => a - b);
  }

  async round_trips(count) {
    const times = [];
    for (let number = 0; number < count; number += 1) {
      const begun = monotonic();
      await this.app.result(await this.app.send("noop", number));
      times.push(monotonic() - begun);
    }
    return times;
  }
}

async function main(name) {
  const client = new Client(await import(new URL(`${name}.mjs`, import.meta.url).href));
  for await (const line of createInterface({ input: process.stdin })) {
    const [verb, ...words] = JSON.parse(line);
    let answer;
    try {
      answer = (await client[verb](...words)) ?? null;
    } catch (error) {
      console.error(error);
      answer = { error: `${error.name}: ${error.message}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

await main(process.argv[2]);

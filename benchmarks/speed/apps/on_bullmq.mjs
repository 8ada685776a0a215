// BullMQ on Node. `node on_bullmq.mjs worker` is one process of a worker; see client.mjs for the sending side.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

// By require, which looks where NODE_PATH says: the peer's environment.
const { Queue, QueueEvents, Worker } = createRequire(import.meta.url)("bullmq");

const NAME = "peer";
const EVENTS_KEPT = 1_000_000; // 10,000 by default; a client that is busy sending would miss the ends of calls
const HERE = fileURLToPath(import.meta.url);
const connection = { url: process.env.PEER_URL };

const TASKS = {
  noop: (x) => x,
  echo: (data) => data.length,
  pause: (seconds) => new Promise((done) => setTimeout(() => done(process.pid), seconds * 1000)),
};

let opened;

function client() {
  if (!opened) {
    const queue = new Queue(NAME, { connection, streams: { events: { maxLen: EVENTS_KEPT } } });
    const events = new QueueEvents(NAME, { connection });
    queue.setMaxListeners(0);
    events.setMaxListeners(0);
    opened = events.waitUntilReady().then(() => ({ queue, events }));
  }
  return opened;
}

export function settings() {
  return (
    "2 processes, each a `Worker` with `concurrency` 1 (default); jobs and results are kept (default); `add`, `addBulk`, " +
    "`waitUntilFinished` with `QueueEvents`, of whose stream 1,000,000 events are kept, so that none is missed; ioredis"
  );
}

export function worker(processes) {
  return Array.from({ length: processes }, () => [process.execPath, HERE, "worker"]);
}

export async function send(name, ...args) {
  const { queue } = await client();
  return queue.add(name, args);
}

export async function sendMany(name, rows) {
  const { queue } = await client();
  return queue.addBulk(rows.map((args) => ({ name, data: args })));
}

export async function collect(jobs) {
  return Promise.all(jobs.map(result));
}

export async function result(job) {
  const { events } = await client();
  return job.waitUntilFinished(events);
}

export async function isReady(job) {
  return job.isCompleted();
}

if (process.argv[1] === HERE) {
  // Async, as BullMQ's processors are.
  new Worker(NAME, async (job) => TASKS[job.name](...job.data), { connection });
}

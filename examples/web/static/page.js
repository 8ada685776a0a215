// Orders reports and follows them: one event stream for each job that has not ended.

const MOST_STREAMS = 4; // a browser opens six connections to a site over HTTP/1.1; the others are for the rest
const jobs = document.getElementById("jobs");
const notice = document.getElementById("notice");
const later = []; // jobs whose stream has to wait
let streams = 0;

document.getElementById("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const order = {
    customer: form.get("customer"),
    pages: Number(form.get("pages")),
    seconds_per_page: Number(form.get("seconds_per_page") || 0),
  };
  const answer = await send("/reports", order);
  if (answer) jobs.prepend(row((await answer.json()).id));
});

async function send(address, body) {
  notice.textContent = "";
  try {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.ok) return answer;
    const told = await answer.json();
    const again = answer.headers.get("Retry-After");
    notice.textContent = typeof told.detail === "string" ? told.detail : "that was not accepted";
    if (again) notice.textContent += ` (in ${again} seconds)`;
  } catch {
    notice.textContent = "the site does not answer";
  }
  return null;
}

function row(id) {
  document.getElementById("none").hidden = true;
  const item = document.getElementById("job").content.firstElementChild.cloneNode(true);
  item.id = `job-${id}`;
  item.querySelector(".id").textContent = id.slice(-12);
  item.querySelector(".cancel").addEventListener("click", () => send(`/tasks/${id}/cancel`));
  follow(id, item);
  return item;
}

function follow(id, item) {
  if (streams >= MOST_STREAMS) {
    later.push(() => follow(id, item));
    return;
  }
  streams += 1;
  const source = new EventSource(`/tasks/${id}/events`);
  const done = () => {
    source.close();
    streams -= 1;
    later.shift()?.();
  };
  for (const name of ["snapshot", "state"]) {
    source.addEventListener(name, (event) => show(item, JSON.parse(event.data)));
  }
  source.addEventListener("progress", (event) => showProgress(item, JSON.parse(event.data)));
  source.addEventListener("log", (event) => {
    item.title = JSON.parse(event.data).message;
  });
  source.addEventListener("end", (event) => {
    show(item, JSON.parse(event.data));
    done();
  });
  source.addEventListener("error", () => {
    // The browser comes back by itself, and gets what it has missed, unless it was refused.
    if (source.readyState === EventSource.CLOSED) done();
  });
}

function show(item, run) {
  item.dataset.state = run.state;
  item.classList.toggle("ended", run.ended);
  item.querySelector(".state").textContent = run.name;
  if (run.progress) showProgress(item, run.progress);
  if (run.ended) item.querySelector(".note").textContent = run.result ?? run.error?.message ?? run.message ?? "";
}

function showProgress(item, progress) {
  if (!progress) return;
  const bar = item.querySelector("progress");
  if (progress.fraction === null) bar.removeAttribute("value");
  else bar.value = progress.fraction;
  item.querySelector(".note").textContent = progress.note ?? String(progress.done);
}

async function begin() {
  const answer = await fetch("/reports").catch(() => null);
  if (!answer?.ok) {
    notice.textContent = "the list of jobs cannot be read now";
    return;
  }
  for (const run of await answer.json()) {
    // One that was ordered while the list was on its way is there already.
    if (!document.getElementById(`job-${run.id}`)) jobs.append(row(run.id));
  }
}

begin();

// What the pages do beyond links and forms: the colour switch, the live switch, local times, boxes that tick all.
// Without scripts every page can still be read and every form still be sent.
(function () {
  "use strict";
  const root = document.documentElement;
  const year = 31536000;

  function remember(name, value) {
    const path = root.dataset.root || "/";
    document.cookie = name + "=" + value + ";path=" + path + ";max-age=" + year + ";samesite=lax";
  }

  // -- colours: as the system has them, light, dark --------------------------------------------------------------
  const words = { auto: "Auto", light: "Light", dark: "Dark" };

  function showTheme(button) {
    const theme = root.dataset.theme || "auto";
    button.textContent = "Colours: " + words[theme];
  }

  function nextTheme(button) {
    const order = ["auto", "light", "dark"];
    const next = order[(order.indexOf(root.dataset.theme || "auto") + 1) % 3];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    remember("theme", next);
    showTheme(button);
  }

  // -- live: parts of the page are asked for again, unless nobody looks or somebody is busy in them ---------------
  function isLive() {
    return !/(?:^|; )live=off/.test(document.cookie);
  }

  function showLive(button) {
    button.setAttribute("aria-pressed", String(isLive()));
  }

  function toggleLive(button) {
    remember("live", isLive() ? "off" : "on");
    showLive(button);
  }

  function isBusyIn(part) {
    const chosen = document.getSelection();
    const selects = chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode);
    return selects || part.contains(document.activeElement) || part.querySelector("input:checked") !== null;
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    const part = event.detail.elt;
    if (!part.hasAttribute("data-live")) return;
    if (document.hidden || !isLive() || isBusyIn(part)) event.preventDefault();
  });

  // Whoever looks must know when what they see is old.
  function showLost(isLost) {
    for (const note of document.querySelectorAll("[data-lost]")) note.hidden = !isLost;
  }
  document.addEventListener("htmx:sendError", () => showLost(true));
  document.addEventListener("htmx:responseError", () => showLost(true));
  document.addEventListener("htmx:afterOnLoad", () => showLost(false));

  // A log that was read to its end stays at its end, any other where it was.
  let places = new Map();
  document.addEventListener("htmx:beforeSwap", function () {
    places = new Map();
    for (const log of document.querySelectorAll("[data-follow]")) {
      const ended = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
      places.set(log.id, ended ? Number.MAX_SAFE_INTEGER : log.scrollTop);
    }
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    for (const [id, top] of places) {
      const log = document.getElementById(id);
      if (log) log.scrollTop = top;
    }
    localTimes(event.detail.target);
    readersTimes(event.detail.target);
  });

  // -- moments: written in UTC, shown in the reader's zone when pointed at ----------------------------------------
  function localTimes(where) {
    for (const moment of where.querySelectorAll("time[datetime]")) {
      const local = new Date(moment.dateTime);
      if (!isNaN(local)) moment.title = local.toLocaleString() + " (here) · " + moment.dateTime;
    }
  }

  // Ticks of schedules stand beside each other in the schedule's zone and in the reader's; a zone that was chosen stays.
  const whole = {
    weekday: "short", year: "numeric", month: "short", day: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  };

  function readersTimes(where) {
    for (const moment of where.querySelectorAll("time[data-here]")) {
      const local = new Date(moment.dateTime);
      if (!isNaN(local)) moment.textContent = local.toLocaleString(undefined, whole);
    }
    for (const moment of where.querySelectorAll("time[data-here-clock]")) {
      const local = new Date(moment.dateTime);
      if (!isNaN(local)) moment.textContent = local.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
    }
    for (const heading of where.querySelectorAll("[data-here-zone]")) heading.textContent = heading.dataset.hereZone || "Here";
  }

  function tickAll(box) {
    for (const other of box.closest("form").querySelectorAll("input[name=run_id]")) other.checked = box.checked;
  }

  document.addEventListener("DOMContentLoaded", function () {
    root.classList.remove("no-script");
    for (const button of document.querySelectorAll("[data-switch=theme]")) {
      showTheme(button);
      button.addEventListener("click", () => nextTheme(button));
    }
    for (const button of document.querySelectorAll("[data-switch=live]")) {
      showLive(button);
      button.addEventListener("click", () => toggleLive(button));
    }
    for (const log of document.querySelectorAll("[data-follow]")) log.scrollTop = log.scrollHeight;
    localTimes(document);
    readersTimes(document);
  });
  // Where the page is not served safely, browsers have no clipboard for it: the text is selected then.
  async function copy(button) {
    const text = document.getElementById(button.dataset.copy);
    let outcome = "Copied";
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      document.getSelection().selectAllChildren(text);
      outcome = "Selected";
    }
    button.textContent = outcome;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-tick-all]")) tickAll(event.target);
  });
})();

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
  });

  // -- moments: written in UTC, told in the reader's zone when pointed at -----------------------------------------
  function localTimes(where) {
    for (const moment of where.querySelectorAll("time[datetime]")) {
      const told = new Date(moment.dateTime);
      if (!isNaN(told)) moment.title = told.toLocaleString() + " (here) · " + moment.dateTime;
    }
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
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-tick-all]")) tickAll(event.target);
  });
})();

/* Follows an execution while it waits and runs. */
"use strict";
(() => {
  const root = document.querySelector("[data-tail]");
  if (!root || root.dataset.final === "1") return;
  const EVERY = 1500;
  const log = document.getElementById("log");
  const live = document.getElementById("live");
  const head = document.getElementById("head-state");
  const state = document.getElementById("tail-state");
  let last = root.dataset.last;
  let timer = 0;

  async function look() {
    let final = false;
    try {
      const answer = await fetch(root.dataset.tail + "?after=" + encodeURIComponent(last), { redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      live.innerHTML = found.live;
      if (head) head.innerHTML = found.badge;
      if (found.last !== Number(last)) {
        const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
        log.insertAdjacentHTML("beforeend", found.lines);
        const none = document.getElementById("no-lines");
        if (none) none.remove();
        if (atEnd) log.scrollTop = log.scrollHeight;
        last = String(found.last);
      }
      final = found.final;
      if (state) state.textContent = final ? "ended" : "live";
    } catch (error) {
      if (state) state.textContent = "the server does not answer; trying again";
    }
    root.dataset.final = final ? "1" : "0";
    if (!final && !document.hidden) timer = setTimeout(look, EVERY);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && root.dataset.final !== "1") look();
  });
  timer = setTimeout(look, EVERY);
})();

/* Refreshes the front page in place; pauses while nobody looks. */
"use strict";
(() => {
  const EVERY = 5000;
  const root = document.querySelector("[data-refresh]");
  if (!root) return;
  const live = document.getElementById("dashboard-live");
  const heat = document.getElementById("dashboard-heat");
  const state = document.getElementById("refresh-state");
  const toggle = document.getElementById("refresh-toggle");
  let data = JSON.parse(document.getElementById("hour-data").textContent);
  let chart = null;
  let timer = 0;
  let stopped = false;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const FILLS = { success: "--fill-good", failed: "--fill-bad", cancelled: "--fill-idle", skipped: "--fill-held" };
  const SIGNS = { success: "✓", failed: "✕", cancelled: "⊘", skipped: "»" };

  function datasets() {
    return data.series.map((one) => ({
      label: SIGNS[one.name] + " " + one.name, data: one.counts, backgroundColor: colour(FILLS[one.name]), stack: "all",
      maxBarThickness: 48,
    }));
  }

  // The list of executions behind a bar.
  function behind(one, place) {
    return data.url + "?status=" + one.status + "&hour=" + data.hours[place];
  }

  function draw() {
    const quiet = colour("--body-quiet-color");
    const line = colour("--hairline-color");
    const axis = { stacked: true, ticks: { color: quiet, precision: 0 }, grid: { color: line } };
    if (chart) chart.destroy();
    chart = new Chart(document.getElementById("hour-chart"), {
      type: "bar",
      data: { labels: data.labels, datasets: datasets() },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false,
        onClick: (event, bars) => { if (bars.length) location.assign(behind(data.series[bars[0].datasetIndex], bars[0].index)); },
        onHover: (event, bars) => { event.native.target.classList.toggle("points", bars.length > 0); },
        plugins: { legend: { position: "bottom", labels: { color: quiet, boxWidth: 12 } } },
        scales: { x: { ...axis, grid: { display: false } }, y: { ...axis, beginAtZero: true } },
      },
    });
    table();
  }

  function cell(row, tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    row.append(made);
    return made;
  }

  function table() {
    const made = document.createElement("table");
    made.className = "plain";
    const head = made.createTHead().insertRow();
    cell(head, "th", "Hour (UTC)").scope = "col";
    data.series.forEach((one) => { cell(head, "th", one.name).scope = "col"; });
    const body = made.createTBody();
    data.labels.forEach((label, place) => {
      const row = body.insertRow();
      cell(row, "th", label).scope = "row";
      data.series.forEach((one) => {
        const count = one.counts[place];
        const made = cell(row, "td", count ? "" : "0");
        if (!count) return;
        const link = document.createElement("a");
        link.href = behind(one, place);
        link.textContent = count;
        made.append(link);
      });
    });
    document.getElementById("hour-table").replaceChildren(made);
  }

  function put(box, html) {
    if (box.contains(document.activeElement)) return; // never take the place of somebody who reads by keyboard
    box.innerHTML = html;
  }

  async function refresh() {
    try {
      const answer = await fetch(root.dataset.refresh, { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      put(live, found.live);
      put(heat, found.heat);
      if (JSON.stringify(found.chart) !== JSON.stringify(data)) { data = found.chart; draw(); }
      state.textContent = "Refreshes every 5 s.";
    } catch (error) {
      state.textContent = "The server does not answer; trying again.";
    }
    root.dataset.refreshed = String(Number(root.dataset.refreshed || 0) + 1);
    plan();
  }

  function plan() {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(refresh, EVERY);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!stopped) refresh();
  });
  toggle.addEventListener("click", () => {
    stopped = !stopped;
    toggle.setAttribute("aria-pressed", String(stopped));
    toggle.textContent = stopped ? "Refresh again" : "Stop refreshing";
    state.textContent = stopped ? "Does not refresh." : "Refreshes every 5 s.";
    if (stopped) clearTimeout(timer); else refresh();
  });
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  plan();
})();

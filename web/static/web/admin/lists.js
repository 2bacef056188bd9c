/* Of the filters of a list one is open at a time, and Escape closes it. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const filters = Array.from(document.querySelectorAll("details.filter"));
  if (!filters.length) return;
  const close = (but) => filters.forEach((one) => { if (one !== but) one.open = false; });
  filters.forEach((one) => one.addEventListener("toggle", () => { if (one.open) close(one); }));
  document.addEventListener("click", (event) => close(event.target.closest("details.filter")));
  document.addEventListener("keydown", (event) => {
    const open = filters.find((one) => one.open);
    if (event.key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
});

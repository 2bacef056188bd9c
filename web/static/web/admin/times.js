/* Tells each time in the viewer's own zone as well, when it is pointed at. */
"use strict";
(() => {
  const words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const tell = (event) => {
    const time = event.target.closest ? event.target.closest("time[datetime]") : null;
    if (!time || time.title) return;
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime()) && time.dateTime.length > 10) time.title = "Here: " + words.format(moment);
  };
  document.addEventListener("mouseover", tell);
  document.addEventListener("focusin", tell);
})();

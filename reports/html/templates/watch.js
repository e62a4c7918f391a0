(() => {
  "use strict";

  // Load this file anew, at the same place, unless the reader has opened or marked something that would be lost.
  // What is open from the beginning is closed and opened by nobody.
  const opened = new Set(document.querySelectorAll("details[open]"));
  const busy = () =>
    String(getSelection()) ||
    document.activeElement.matches("input, select") ||
    [...document.querySelectorAll("details[open]")].some((one) => !opened.has(one));
  setInterval(() => {
    if (!busy()) location.reload();
  }, 5000);
})();

(() => {
  "use strict";

  // Load this file anew, at the same place, unless something of the reader's would be lost: what is opened, marked,
  // typed, ticked or sorted, or where the keyboard is. What is open from the beginning is closed and opened by nobody.
  const opened = new Set(document.querySelectorAll("details[open]"));
  const busy = () =>
    String(getSelection()) ||
    (document.activeElement || document.body) !== document.body ||
    [...document.querySelectorAll("input")].some((i) => i.value !== i.defaultValue || i.checked !== i.defaultChecked) ||
    document.querySelector("table[data-sorted]") ||
    [...document.querySelectorAll("details[open]")].some((one) => !opened.has(one));
  setInterval(() => {
    if (!busy()) location.reload();
  }, 5000);
})();

"use strict";
(function () {
  var said = document.getElementById("said");
  var tip = document.getElementById("tip");

  // -- tables that sort ---------------------------------------------------------------------

  var order = new Intl.Collator(undefined, { numeric: true });

  function value(row, column, kind) {
    var cell = row.cells[column];
    if (kind === "text") return cell.textContent.trim();
    return cell.dataset.value === "" || cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  function compared(a, b, kind) {
    return kind === "text" ? order.compare(a, b) : a - b;
  }

  function sort(button) {
    var head = button.closest("th");
    var table = head.closest("table");
    var kind = button.dataset.kind;
    var before = head.getAttribute("aria-sort");
    var first = kind === "number" ? "descending" : "ascending";
    var second = first === "descending" ? "ascending" : "descending";
    var direction = before === first ? second : first;
    var sign = direction === "ascending" ? 1 : -1;
    var rows = Array.prototype.slice.call(table.tBodies[0].rows);
    rows.sort(function (left, right) {
      var a = value(left, head.cellIndex, kind);
      var b = value(right, head.cellIndex, kind);
      if (a === null || b === null) return (a === null) - (b === null); // what is not known stands last
      return sign * compared(a, b, kind);
    });
    rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
    table.querySelectorAll("th[aria-sort]").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", direction);
    said.textContent = "Sorted by " + button.textContent.trim() + ", " + direction + ".";
  }

  document.querySelectorAll("table.sortable th button").forEach(function (button) {
    button.addEventListener("click", function () { sort(button); });
  });

  // -- picture and table, linked both ways --------------------------------------------------

  function points(id) {
    return document.querySelectorAll('svg a[data-row="' + id + '"]');
  }

  function light(id, on) {
    var row = document.getElementById(id);
    if (row) row.classList.toggle("lit", on);
    points(id).forEach(function (point) {
      point.classList.toggle("lit", on);
    });
  }

  var shown = null;

  function show(point) {
    shown = point;
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    place();
  }

  function hide() {
    shown = null;
    tip.hidden = true;
  }

  function place() {
    if (!shown) return;
    var box = shown.getBoundingClientRect();
    var left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    var above = box.top - tip.offsetHeight - 8;
    tip.style.left = left + "px";
    tip.style.top = (above > 8 ? above : box.bottom + 8) + "px";
  }

  document.querySelectorAll("svg a[data-row]").forEach(function (point) {
    var id = point.dataset.row;
    function on() { light(id, true); show(point); }
    function off() { light(id, false); hide(); }
    point.addEventListener("mouseenter", on);
    point.addEventListener("mouseleave", off);
    point.addEventListener("focus", on);
    point.addEventListener("blur", off);
    point.addEventListener("click", function (event) {
      event.preventDefault();
      off();
      var row = document.getElementById(id);
      row.scrollIntoView({ block: "center" });
      row.focus({ preventScroll: true });
    });
  });

  document.querySelectorAll("table.customers tbody tr").forEach(function (row) {
    row.addEventListener("mouseenter", function () { light(row.id, true); });
    row.addEventListener("mouseleave", function () { light(row.id, false); });
    row.addEventListener("focusin", function () { light(row.id, true); });
    row.addEventListener("focusout", function () { light(row.id, false); });
  });

  document.querySelectorAll("a[data-point]").forEach(function (link) {
    link.addEventListener("click", function (event) {
      var seen = Array.prototype.filter.call(points(link.dataset.point), function (p) { return p.getClientRects().length; });
      if (!seen.length) return;
      event.preventDefault();
      seen[0].closest("figure").scrollIntoView({ block: "center" });
      seen[0].focus({ preventScroll: true });
    });
  });

  document.addEventListener("keydown", function (event) { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", place, { capture: true, passive: true });

  // -- on paper, everything is open ---------------------------------------------------------

  var closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
    closed.forEach(function (details) { details.open = true; });
  });
  window.addEventListener("afterprint", function () {
    closed.forEach(function (details) { details.open = false; });
  });
})();

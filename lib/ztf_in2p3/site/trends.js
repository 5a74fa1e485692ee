// One plot of the chosen quantity: a line for each quadrant of a CCD, or for the median of each CCD.
const colours = ["#0b6e99", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e", "#a16207", "#4338ca"];
const seconds = TRENDS.nights.map((n) => Date.UTC(+n.slice(0, 4), +n.slice(4, 6) - 1, +n.slice(6)) / 1000);
const byId = (name) => document.getElementById(name);
const fill = (menu, words, text) => {
  const before = menu.value;
  menu.replaceChildren(...words.map((word) => new Option(text ? text(word) : word, word)));
  if (words.includes(before)) menu.value = before;
};
const median = (values) => {
  const known = values.filter((v) => v !== null && v !== undefined).sort((a, b) => a - b), n = known.length;
  return n ? (known[(n - 1) >> 1] + known[n >> 1]) / 2 : null;
};
let plot = null;
function draw() {
  const quantity = byId("quantity").value, ofFilter = TRENDS.series[quantity] || {};
  fill(byId("filter"), Object.keys(ofFilter), (word) => word || "any");
  const channels = ofFilter[byId("filter").value] || {};
  const ccds = [...new Set(Object.keys(channels).map((rcid) => Math.floor(rcid / 4) + 1))].sort((a, b) => a - b);
  fill(byId("ccd"), ["all", ...ccds.map(String)], (word) => (word === "all" ? "all, median of quadrants" : word));
  const chosen = byId("ccd").value, lines = [];
  if (chosen === "all") {
    for (const ccd of ccds) {
      const members = [0, 1, 2, 3].map((q) => channels[4 * (ccd - 1) + q]).filter(Boolean);
      lines.push([`CCD ${ccd}`, seconds.map((_, k) => median(members.map((m) => m[k])))]);
    }
  } else {
    for (const q of [0, 1, 2, 3]) {
      const values = channels[4 * (chosen - 1) + q];
      if (values) lines.push([`CCD ${chosen} q${q + 1}`, values]);
    }
  }
  if (plot) plot.destroy();
  const unit = TRENDS.units[quantity];
  const series = lines.map(([label], k) => (
    { label, stroke: colours[k % colours.length], dash: k < colours.length ? [] : [6, 4], spanGaps: true, points: { show: true, size: 5 } }
  ));
  const title = `${quantity}${unit ? ` [${unit}]` : ""} ${byId("filter").value}`;
  plot = new uPlot(
    { title, width: Math.min(1080, document.body.clientWidth), height: 440, tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), "UTC"),
      series: [{ label: "night", value: "{YYYY}-{MM}-{DD}" }, ...series], cursor: { drag: { x: true, y: true, uni: 30 } } },
    [seconds, ...lines.map((line) => line[1])], byId("plot"));
}
fill(byId("quantity"), Object.keys(TRENDS.series));
for (const name of ["quantity", "filter", "ccd"]) byId(name).addEventListener("change", draw);
if (TRENDS.nights.length) draw();

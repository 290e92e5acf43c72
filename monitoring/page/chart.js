"use strict";
/* Error curves on uPlot: lines that differ in dash as well as colour, numbered markers, and a ribbon of who served. */

const MARKS = { signal: "bad", failed: "bad", fell_back: "rules", promoted: "champion", resumed: "champion", warmed_up: "champion", rolled_back: "champion", installed: "champion", benched: "bad" };
const LINES = {
  served: { colour: "--ink", width: 1.2, dash: [] },
  champion: { colour: "--accent", width: 2.4, dash: [] },
  challenger0: { colour: "--violet", width: 1.8, dash: [7, 4] },
  challenger1: { colour: "--teal", width: 1.8, dash: [5, 3] },
  previous: { colour: "--grey", width: 1.4, dash: [] },
  rules: { colour: "--rules", width: 2, dash: [2, 3] },
};

class Chart {
  constructor(element) {
    this.element = element;
    this.points = [];
    this.marks = [];
    this.names = [];
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(element);
  }

  colour(name) {
    // light-dark() does not resolve in a custom property: let an element compute it
    this.element.style.color = `var(${name})`;
    const found = getComputedStyle(this.element).color;
    this.element.style.color = "";
    return found;
  }

  /* The two challengers with the lowest error of late, in a fixed order of names. */
  challengers() {
    const last = this.points.at(-1);
    if (!last) return [];
    return Object.entries(last.challengers).sort((a, b) => a[1] - b[1]).slice(0, 2).map(([slot]) => slot);
  }

  lines() {
    const slots = this.challengers();
    const lines = [{ key: "champion", name: "Champion", of: (p) => p.champion }];
    slots.forEach((slot, i) => lines.push({ key: `challenger${i}`, name: `Challenger ${slot}`, of: (p) => p.challengers[slot] ?? null }));
    lines.push({ key: "previous", name: "Previous", of: (p) => p.previous });
    lines.push({ key: "rules", name: "Best rule or baseline", of: (p) => p.rules });
    lines.push({ key: "served", name: "Served", of: (p) => p.served });
    return lines.filter((line) => this.points.some((p) => line.of(p) !== null && line.of(p) !== undefined));
  }

  set(points, marks) {
    this.points = points;
    this.marks = marks;
    const lines = this.lines();
    const names = lines.map((line) => line.key + line.name).join();
    if (names !== this.names || !this.plot) this.rebuild(lines, names);
    else this.plot.setData(this.data(lines));
  }

  data(lines) {
    return [this.points.map((p) => p.at / 1000), ...lines.map((line) => this.points.map((p) => line.of(p) ?? null))];
  }

  rebuild(lines = this.lines(), names = this.names) {
    this.names = names;
    this.plot?.destroy();
    const quiet = this.colour("--quiet"), track = this.colour("--track");
    const font = "12px Inter, system-ui, sans-serif";
    const axis = { stroke: quiet, font, ticks: { show: false } };
    this.plot = new uPlot({
      ...this.size(),
      padding: [38, 28, 6, 0],
      cursor: { y: false, points: { size: 5 } },
      legend: { show: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(0.05, (most || 0) * 1.1)] } },
      axes: [
        { ...axis, grid: { show: false }, gap: 12, space: 80, values: (_, ticks, __, ___, step) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB").slice(0, step < 60 ? 8 : 5)) },
        { ...axis, grid: { stroke: track, width: 1 }, size: 46, values: (_, ticks) => ticks.map((v) => `${+(v * 100).toFixed(1)}%`) },
      ],
      series: [{}, ...lines.map((line) => ({
        label: line.name, stroke: this.colour(LINES[line.key].colour), width: LINES[line.key].width,
        dash: LINES[line.key].dash, points: { show: false }, spanGaps: true,
      }))],
      hooks: { draw: [(u) => this.decorate(u)] },
    }, this.data(lines), this.element);
  }

  /* Markers above, the ribbon below. */
  decorate(u) {
    const { ctx, bbox } = u, ratio = devicePixelRatio || 1;
    const champion = this.colour("--accent"), rules = this.colour("--rules"), card = this.colour("--card");
    ctx.save();
    const top = bbox.top + bbox.height + 4 * ratio;
    for (let i = 1; i < this.points.length; i++) {
      const a = u.valToPos(this.points[i - 1].at / 1000, "x", true), b = u.valToPos(this.points[i].at / 1000, "x", true);
      const share = this.points[i - 1].share, height = 5 * ratio;
      ctx.fillStyle = rules;
      ctx.fillRect(a, top, b - a + 0.5, height);
      ctx.fillStyle = champion;
      ctx.fillRect(a, top, b - a + 0.5, height * share);
    }
    ctx.font = `600 ${11 * ratio}px Inter, system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    let before = -Infinity, level = 0;
    for (const mark of this.marks) {
      const x = u.valToPos(mark.at / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      level = x - before < 22 * ratio ? (level + 1) % 2 : 0;
      before = x;
      const y = bbox.top - (11 + 18 * level) * ratio, tone = MARKS[mark.kind];
      const colour = tone === "bad" ? this.colour("--bad") : tone === "rules" ? rules : tone === "champion" ? champion : this.colour("--grey");
      ctx.strokeStyle = colour;
      ctx.lineWidth = ratio;
      ctx.setLineDash(tone === "bad" ? [] : [3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, y + 9 * ratio);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.beginPath();
      ctx.arc(x, y, 8.5 * ratio, 0, 2 * Math.PI);
      ctx.fillStyle = tone ? colour : card;
      ctx.fill();
      ctx.stroke();
      ctx.fillStyle = tone ? card : this.colour("--ink");
      ctx.fillText(mark.number, x, y + 0.5 * ratio);
    }
    ctx.restore();
  }

  size() {
    return { width: Math.max(200, this.element.clientWidth), height: this.element.clientHeight || 300 };
  }

  resize() {
    this.plot?.setSize(this.size());
  }
}

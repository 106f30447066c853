"use strict";
// Shows what is in the element #data. Text goes into text nodes alone, never into markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { metric, points, runs, answers, series } = data;
  const SPACE = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);

  function element(tag, attributes = {}, ...children) {
    return filled(document.createElement(tag), attributes, children);
  }
  function drawn(tag, attributes = {}, ...children) {
    return filled(document.createElementNS(SPACE, tag), attributes, children);
  }
  function filled(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  // --- numbers in words
  const whole = (value) => Math.round(value).toLocaleString("en");
  const quality = (value) => value.toFixed(metric.digits);
  const megabytes = (bytes) => `${significant(bytes / 1e6)} MB`;
  function significant(value) {
    if (value === 0) return "0";
    const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value)))));
    return value.toFixed(digits);
  }
  const withUnit = (text) => (metric.unit ? `${text} ${metric.unit}` : text);
  const tested = (point) =>
    withUnit(quality(point.test) + (point.half === null ? "" : ` ± ${quality(point.half)}`));
  function modelWords(point) {
    const size = point.size ? ` ${point.size}` : "";
    const own = point.own === "fp32" ? "" : `, ${point.own}`;
    return point.kind === "dense" ? `dense${size}${own}` : `sparse ${point.label} from${size}${own}`;
  }
  const UNITS = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 1024, mib: 1048576 };
  function amount(text) {
    const found = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
    const unit = found && UNITS[(found[2] || "b").toLowerCase()];
    return unit ? Number(found[1]) * unit : NaN;
  }
  function amountWords(bytes) {
    return bytes >= 1e6 ? `${significant(bytes / 1e6)}MB` : `${significant(bytes / 1e3)}kB`;
  }

  function copied(command) {
    const code = element("code", {}, command);
    const button = element("button", { type: "button", "aria-label": `Copy: ${command}`, onclick: copy }, "copy");
    async function copy() {
      try {
        await navigator.clipboard.writeText(command);
        button.textContent = "copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(code);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        button.textContent = "selected";
      }
      setTimeout(() => (button.textContent = "copy"), 1500);
    }
    return element("span", { class: "copy" }, button, code);
  }

  // --- the budget and its verdict
  const slider = byId("budget"), field = byId("amount"), verdict = byId("verdict");
  const sizes = answers.map((answer) => answer.from);
  const least = sizes.length ? sizes[0] * 0.9 : 1, most = sizes.length ? sizes[sizes.length - 1] * 1.3 : 2;
  let budget = null;

  const toBytes = (place) => least * (most / least) ** (place / 1000);
  const toPlace = (bytes) => Math.max(0, Math.min(1000, (1000 * Math.log(bytes / least)) / Math.log(most / least)));

  function choose(bytes) {
    budget = bytes;
    const answer = answers.filter((one) => one.from <= bytes).pop();
    slider.setAttribute("aria-valuetext", amountWords(bytes));
    if (!answer) {
      verdict.replaceChildren(
        element("strong", {}, `Nothing fits ${amountWords(bytes)}.`),
        `The smallest file takes ${megabytes(sizes[0])}: ${modelWords(points[answers[0].pick])}.`,
      );
    } else {
      const others = ["dense", "sparse"]
        .map((kind) => answer[kind])
        .filter((place) => place !== null && place !== answer.pick)
        .map((place) => `${modelWords(points[place])}, ${tested(points[place])}`);
      verdict.replaceChildren(
        element("strong", {}, `For ${amountWords(bytes)}: ${answer.words}`),
        element("div", {}, answer.sure),
        element("div", { class: "soft" }, others.length ? `The best of the other kind: ${others.join("; ")}.` : ""),
        ...answer.lacking.map((line) => element("div", { class: "soft" }, `${line[0].toUpperCase()}${line.slice(1)}.`)),
        copied(answer.pack),
      );
    }
    treemap(answer);
    draw();
  }

  // --- the chosen file by layer
  function treemap(answer) {
    const matrices = answer ? data.files[answer.pick] : [];
    byId("file").hidden = !matrices.length;
    if (byId("file").hidden) return;
    const width = 900, height = 320;
    const value = { fp32: 4, fp16: 2, bf16: 2, int8: 1 }[points[answer.pick].own] ?? 4;
    const layers = matrices
      .map(([name, weights, kept, positions]) => ({ name, weights, kept, positions, dense: 4 * weights, left: value * kept }))
      .sort((a, b) => b.dense - a.dense);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "list", "aria-label": "the matrices of the file" });
    for (const [layer, x, y, w, h] of boxes(layers, 0, 0, width, height)) {
      const words = `${layer.name}: ${whole(layer.weights)} weights, ${whole(layer.kept)} kept, ${whole(layer.left)} bytes of values, ${whole(layer.positions)} of positions`;
      const kept = Math.min(1, layer.left / layer.dense), both = Math.min(1, (layer.left + layer.positions) / layer.dense);
      const box = drawn("g", { role: "listitem", "aria-label": words }, drawn("title", {}, words),
        drawn("rect", { class: "layer", x, y, width: w, height: h }),
        drawn("rect", { class: `positions ${points[answer.pick].kind}`, x, y: y + h * (1 - both), width: w, height: h * (both - kept) }),
        drawn("rect", { class: `kept ${points[answer.pick].kind}`, x, y: y + h * (1 - kept), width: w, height: h * kept }));
      if (w > 7 * Math.min(layer.name.length, 12) && h > 18)
        box.append(drawn("text", { x: x + 4, y: y + 14 }, layer.name.length * 7 < w ? layer.name : `${layer.name.slice(0, Math.floor(w / 8))}…`));
      svg.append(box);
    }
    byId("treemap").replaceChildren(svg);
  }
  // Halves of about equal area, side by side along the longer side, down to single layers.
  function boxes(layers, x, y, w, h) {
    if (layers.length === 1) return [[layers[0], x, y, w, h]];
    const whole_ = layers.reduce((sum, one) => sum + one.dense, 0);
    let first = 0, cut = 0;
    while (cut < layers.length - 1 && (cut === 0 || first + layers[cut].dense / 2 < whole_ / 2)) first += layers[cut++].dense;
    const share = first / whole_;
    const [one, other] = [layers.slice(0, cut), layers.slice(cut)];
    return w > h
      ? [...boxes(one, x, y, w * share, h), ...boxes(other, x + w * share, y, w * (1 - share), h)]
      : [...boxes(one, x, y, w, h * share), ...boxes(other, x, y + h * share, w, h * (1 - share))];
  }

  if (answers.length) {
    byId("choose").hidden = false;
    slider.addEventListener("input", () => {
      const bytes = toBytes(Number(slider.value));
      field.value = amountWords(bytes);
      choose(bytes);
    });
    field.addEventListener("change", () => {
      const bytes = amount(field.value);
      field.setAttribute("aria-invalid", String(!(bytes > 0)));
      if (!(bytes > 0)) {
        verdict.replaceChildren(element("strong", {}, "Takes an amount such as 200kB or 1.5MB."));
        return;
      }
      slider.value = toPlace(bytes);
      choose(bytes);
    });
  }

  // --- the plot
  const AXES = {
    bytes: ["MB of the packed file", (point) => fileBytes(point), (value) => significant(value / 1e6)],
    weights: ["non-zero weights", (point) => point.weights, short],
    trained: ["non-zero weights, mean over training", (point) => point.trained, short],
    work: ["multiply-adds of an example", (point) => point.work, short],
    ms: ["milliseconds of an example", (point) => point.ms, significant],
  };
  function short(value) {
    for (const [scale, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (value >= scale) return `${Number((value / scale).toPrecision(3))}${letter}`;
    return String(Number(value.toPrecision(3)));
  }
  const axis = byId("axis"), values = byId("values"), norms = byId("norms"), scale = byId("scale");
  const kindOf = (point) => (values.value === "own" ? point.own : values.value);
  function fileBytes(point) {
    const state = Object.keys(point.bytes.folded).length && norms.value === "folded" ? "folded" : "kept";
    return point.bytes[state][kindOf(point)] ?? null;
  }
  const isGuess = (point) => axis.value === "bytes" && kindOf(point) !== point.own;

  const LEFT = 70, RIGHT = 20, TOP = 15, BOTTOM = 52;
  const SHAPES = [
    "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z",
    "M-5.5,-5.5h11v11h-11z",
    "M0,-7l7,7l-7,7l-7,-7z",
    "M0,-7l6.5,11.5h-13z",
    "M0,7l6.5,-11.5h-13z",
  ];
  const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];
  const orderOf = (n) => {
    const kind = points.find((point) => point.series === n).kind;
    return series.slice(0, n).filter((_, other) => points.some((p) => p.series === other && p.kind === kind)).length;
  };
  const orders = series.map((_, n) => orderOf(n));
  const shapeOf = (point) => SHAPES[orders[point.series] % SHAPES.length];
  const dashOf = (n) => DASHES[Math.floor(orders[n] / SHAPES.length) % DASHES.length];

  let chosen = null; // the number of a point
  function draw() {
    const WIDTH = Math.max(320, Math.min(1100, byId("drawing").clientWidth || 900));
    const HEIGHT = WIDTH < 600 ? 340 : 480;
    const [words, read, write] = AXES[axis.value];
    const shown = points.map((point, n) => ({ point, n, x: read(point) })).filter((one) => one.x !== null && one.x > 0);
    const log = scale.value === "log";
    const xs = shown.map((one) => one.x), ys = shown.flatMap(({ point }) => [point.test - (point.half ?? 0), point.test + (point.half ?? 0)]);
    if (!shown.length) return byId("drawing").replaceChildren("Nothing was measured for this axis.");
    const [x0, x1] = padded(Math.min(...xs), Math.max(...xs), log), [y0, y1] = padded(Math.min(...ys), Math.max(...ys), false);
    const across = (x) => {
      const share = log ? Math.log(x / x0) / Math.log(x1 / x0) : (x - x0) / (x1 - x0);
      return LEFT + share * (WIDTH - LEFT - RIGHT);
    };
    const up = (y) => {
      const share = metric.higher ? (y - y0) / (y1 - y0) : (y1 - y) / (y1 - y0);
      return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    };
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": `test ${metric.label} against ${words}; arrow keys go from point to point` });
    for (const tick of ticks(x0, x1, log))
      svg.append(
        drawn("line", { class: "grid", x1: across(tick), x2: across(tick), y1: TOP, y2: HEIGHT - BOTTOM }),
        drawn("text", { x: across(tick), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle", class: "soft" }, write(tick).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")),
      );
    for (const tick of ticks(y0, y1, false))
      svg.append(
        drawn("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: up(tick), y2: up(tick) }),
        drawn("text", { x: LEFT - 8, y: up(tick) + 4, "text-anchor": "end", class: "soft" }, String(Number(tick.toPrecision(6)))),
      );
    svg.append(
      drawn("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, words),
      drawn("text", { transform: `translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, `test ${metric.label}`),
    );
    if (budget && axis.value === "bytes" && budget > x0 && budget < x1)
      svg.append(
        drawn("line", { class: "mark", x1: across(budget), x2: across(budget), y1: TOP, y2: HEIGHT - BOTTOM }),
        drawn("text", { x: across(budget) + 5, y: TOP + 12 }, amountWords(budget)),
      );
    series.forEach((_, n) => {
      const own = shown.filter(({ point }) => point.series === n).sort((a, b) => a.x - b.x);
      if (!own.length) return;
      const line = own.map(({ x, point }) => `${across(x)},${up(point.test)}`).join(" ");
      svg.append(drawn("polyline", { class: `curve ${own[0].point.kind}`, points: line, "stroke-dasharray": dashOf(n) }));
    });
    for (const { point, x } of shown)
      if (point.half)
        svg.append(drawn("line", { class: `bar ${point.kind}`, x1: across(x), x2: across(x), y1: up(point.test - point.half), y2: up(point.test + point.half) }));
    const ordered = [...shown].sort((a, b) => a.x - b.x);
    const start = ordered.some((one) => one.n === chosen) ? chosen : ordered[0].n;
    const nodes = ordered.map(({ point, n, x }, place) => {
      const node = drawn("path", {
        class: `point ${point.kind}${isGuess(point) ? " guess" : ""}${n === chosen ? " chosen" : ""}`,
        d: shapeOf(point),
        transform: `translate(${across(x)} ${up(point.test)})`,
        tabindex: n === start ? 0 : -1,
        role: "button",
        "data-point": n,
        "aria-label": `${modelWords(point)}: test ${tested(point)}, ${write(x)} ${words}`,
        onmouseenter: () => details(n),
        onfocus: () => details(n),
        onclick: () => pick(n),
        onkeydown: (event) => {
          const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
          if (step) {
            event.preventDefault();
            const next = nodes[Math.max(0, Math.min(nodes.length - 1, place + step))];
            node.setAttribute("tabindex", -1);
            next.setAttribute("tabindex", 0);
            next.focus();
          } else if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            pick(n);
          }
        },
      });
      return node;
    });
    svg.append(...nodes);
    byId("drawing").replaceChildren(svg);
    const hollow = shown.some(({ point }) => isGuess(point));
    const lacking = points.length - shown.length;
    byId("plotnote").textContent = [
      "Bars: 95 % intervals over seeds.",
      hollow ? "Hollow: the size with these values; quality was measured with the run's own." : "",
      lacking ? `${lacking} of ${points.length} points were not measured for this axis.` : "",
    ].filter(Boolean).join(" ");
  }

  function padded(low, high, log) {
    if (log) return [low / 1.15, high * 1.15];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  }
  function ticks(low, high, log) {
    if (log) {
      for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
        const found = [];
        for (let decade = Math.floor(Math.log10(low)); decade <= Math.log10(high); decade++)
          for (const step of steps) {
            const value = step * 10 ** decade;
            if (value >= low && value <= high) found.push(value);
          }
        if (found.length >= 4) return found;
      }
    }
    const rough = (high - low) / 6, unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((times) => times * unit).find((one) => one >= rough);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
    return found;
  }

  function legend() {
    byId("legend").replaceChildren(
      ...series.map((name, n) => {
        const point = points.find((one) => one.series === n);
        const mark = drawn("svg", { width: 18, height: 16, viewBox: "-9 -8 18 16", "aria-hidden": "true" }, drawn("path", { class: `point ${point.kind}`, d: SHAPES[orders[n] % SHAPES.length] }));
        return element("span", {}, mark, ` ${name}`);
      }),
    );
  }

  // --- one point
  function pick(n) {
    chosen = n;
    draw();
    details(n);
    byId("drawing").querySelector(`[data-point="${n}"]`)?.focus();
  }
  function details(n) {
    const point = points[n];
    const rows = [
      ["model", `${modelWords(point)} (${series[point.series]})`],
      [`test ${metric.name}`, `${tested(point)}, ${point.n} seed${point.n > 1 ? "s" : ""}`],
      [`validation ${metric.name}`, withUnit(quality(point.valid))],
      ["non-zero weights", whole(point.weights)],
      ["packed file", Object.entries(Object.keys(point.bytes.folded).length ? point.bytes.folded : point.bytes.kept).map(([kind, bytes]) => `${kind} ${megabytes(bytes)}`).join(", ") || "not measured"],
      ["milliseconds", point.ms === null ? "not timed" : significant(point.ms)],
    ];
    const own = runs.filter((run) => run.point === n);
    byId("details").replaceChildren(
      element("dl", {}, ...rows.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])),
      ...own.map((run) => element("div", {}, history(run), copied(commands(run).show))),
    );
  }
  function history(run) {
    if (run.history.length < 2) return null;
    const steps = run.history.map((one) => one[0]), valid = run.history.map((one) => one[1]);
    const x = (step) => 2 + (116 * step) / Math.max(...steps);
    const low = Math.min(...valid), high = Math.max(...valid);
    const y = (value) => (metric.higher ? 30 - (26 * (value - low)) / (high - low || 1) : 4 + (26 * (value - low)) / (high - low || 1));
    const line = run.history.map(([step, value]) => `${x(step)},${y(value)}`).join(" ");
    const words = `seed ${run.seed}: validation from ${quality(valid[0])} to ${quality(valid[valid.length - 1])} over ${whole(steps[steps.length - 1])} steps`;
    return element("div", {}, drawn("svg", { width: 120, height: 34, viewBox: "0 0 120 34", role: "img", "aria-label": words }, drawn("polyline", { class: `curve ${points[run.point].kind}`, points: line })), ` ${words}`);
  }
  function commands(run) {
    return { show: `pruneexp show ${run.fingerprint}`, again: `pruneexp show --command ${run.fingerprint}`, pack: `pruneexp pack ${run.fingerprint} -o model.pxp` };
  }

  // --- the table of runs
  const COLUMNS = [
    ["run", (run) => run.name, (run) => run.name],
    ["model", (run) => modelWords(points[run.point])],
    ["test", (run) => run.test, (run) => quality(run.test)],
    ["valid", (run) => run.valid, (run) => quality(run.valid)],
    ["weights", (run) => points[run.point].weights, (run) => whole(points[run.point].weights)],
    ["MB", (run) => ownBytes(run), (run) => (ownBytes(run) === null ? "–" : significant(ownBytes(run) / 1e6))],
    ["ms", (run) => points[run.point].ms, (run) => (points[run.point].ms === null ? "–" : significant(points[run.point].ms))],
  ];
  function ownBytes(run) {
    const point = points[run.point];
    const state = Object.keys(point.bytes.folded).length ? "folded" : "kept";
    return point.bytes[state][point.own] ?? null;
  }
  let sorted = { column: 2, down: metric.higher };
  const filter = byId("filter"), kind = byId("kind");
  const bodies = new Map();
  function row(run) {
    if (!bodies.has(run)) {
      const line = commands(run);
      const cells = COLUMNS.map(([, read, write], n) => element("td", n > 1 ? { class: "r" } : {}, write ? write(run) : read(run)));
      const buttons = Object.entries(line).map(([name, command]) =>
        element("button", { type: "button", title: command, "aria-label": `Copy: ${command}`, onclick: async (event) => {
          try { await navigator.clipboard.writeText(command); event.target.textContent = "copied"; } catch { event.target.textContent = "no clipboard"; }
          setTimeout(() => (event.target.textContent = name), 1500);
        } }, name));
      bodies.set(run, element("tr", {}, ...cells, element("td", {}, ...buttons)));
    }
    return bodies.get(run);
  }
  function table() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((run) => {
      const point = points[run.point];
      const text = `${run.name} ${modelWords(point)} ${series[point.series]} seed${run.seed}`.toLowerCase();
      return (!kind.value || point.kind === kind.value) && words.every((word) => text.includes(word));
    });
    const read = COLUMNS[sorted.column][1];
    shown.sort((a, b) => {
      const [one, other] = [read(a), read(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      const order = one < other ? -1 : one > other ? 1 : 0;
      return sorted.down ? -order : order;
    });
    byId("table").querySelector("tbody").replaceChildren(...shown.map(row));
    byId("count").textContent = `${shown.length} of ${runs.length} runs`;
    byId("table").querySelectorAll("th").forEach((head, n) => {
      head.setAttribute("aria-sort", n === sorted.column ? (sorted.down ? "descending" : "ascending") : "none");
    });
  }
  const heads = COLUMNS.map(([name], n) =>
    element("th", { scope: "col", class: n > 1 ? "r" : null }, element("button", { type: "button", onclick: () => {
      sorted = { column: n, down: sorted.column === n ? !sorted.down : n === 2 && metric.higher };
      table();
    } }, name === "test" || name === "valid" ? `${name} ${metric.label}` : name)));
  byId("table").querySelector("thead").append(element("tr", {}, ...heads, element("th", { scope: "col" }, "copy")));
  filter.addEventListener("input", table);
  addEventListener("resize", draw);
  kind.addEventListener("change", table);

  // --- begin
  for (const [name, [words, read]] of Object.entries(AXES))
    if (name === "bytes" ? points.some((p) => Object.keys(p.bytes.kept).length) : points.some((p) => read(p) !== null))
      axis.append(element("option", { value: name }, words));
  values.append(element("option", { value: "own" }, "each run's own"), ...data.values.map((name) => element("option", { value: name }, name)));
  for (const control of [axis, values, norms, scale]) control.addEventListener("change", draw);
  byId("plot").hidden = byId("runs").hidden = false;
  legend();
  if (answers.length) {
    slider.value = 500;
    field.value = amountWords(toBytes(500));
    choose(toBytes(500));
  } else draw();
  table();
})();

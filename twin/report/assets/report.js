(() => {
  "use strict";
  const all = (query, from = document) => Array.from(from.querySelectorAll(query));
  document.documentElement.classList.add("js");

  const chosen = () => document.querySelector('input[name="strategy"]:checked').value;
  const shown = [];
  let redraw = () => {};
  const choose = () => {
    const key = chosen();
    document.body.classList.toggle("single", key !== "");
    all("[data-strategy]").forEach((part) => { part.hidden = key !== "" && part.dataset.strategy !== key; });
    redraw();
  };
  all('input[name="strategy"]').forEach((radio) => radio.addEventListener("change", choose));

  const store = document.getElementById("map-data");
  const control = document.getElementById("map-control");
  if (!store || !control) { choose(); return; }
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("map-old").hidden = false;
    choose();
    return;
  }
  const data = JSON.parse(store.textContent);

  const unpack = async (text, columns) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const values = new Uint8Array(await new Response(stream).arrayBuffer());
    const rows = columns ? values.length / columns : 0;
    for (let column = 0; column < columns; column += 1) {
      for (let k = 1; k < rows; k += 1) {
        values[column * rows + k] += values[column * rows + k - 1];
      }
    }
    return { at: (column, k) => values[column * rows + k] };
  };

  const colourOf = (level) => {
    const share = (data.v_low + level * data.v_step - data.scale[0]) / (data.scale[1] - data.scale[0]);
    return data.palette[Math.round(Math.max(0, Math.min(1, share)) * (data.palette.length - 1))];
  };
  const figure = (value, digits) => value.toFixed(digits).replace("-", "\u2212").replace(/\B(?=(\d{3})+(?!\d)(?<!\.\d*))/g, "\u202f");
  const power = (kw) => Math.abs(kw) >= 10000 ? `${figure(kw / 1000, 2)} MW` : `${figure(kw, 1)} kW`;

  const slider = document.getElementById("map-step");
  const output = document.getElementById("map-time");
  const buttons = all("#map-control button");
  let state = "worst";

  const blank = (map) => {
    map.buses.forEach((bus) => { bus.setAttribute("fill", "#fff"); bus.classList.remove("out"); });
    map.words.textContent = "No values are stored for this time.";
  };
  const paint = (map, k) => {
    if (k >= map.low.length) { blank(map); return; }
    map.buses.forEach((bus, i) => {
      const level = map.v.at(i, k);
      const vm = data.v_low + level * data.v_step;
      if (!bus.classList.contains("held")) { bus.setAttribute("fill", colourOf(level)); }
      bus.classList.toggle("out", vm > data.vm_max || vm < data.vm_min);
    });
    map.lines.forEach((line, i) => {
      if (line.classList.contains("open")) { return; }
      const [stroke, width, dash] = data.line_styles[map.l.at(i, k)];
      line.setAttribute("stroke", stroke);
      line.setAttribute("stroke-width", width);
      line.setAttribute("stroke-dasharray", dash);
    });
    map.words.textContent = `${figure(map.low[k], 3)} to ${figure(map.high[k], 3)} pu, transformer ${power(map.flow[k])}`;
  };
  const restore = (map) => {
    map.buses.forEach((bus, i) => {
      bus.setAttribute("fill", map.first.fill[i]);
      bus.classList.toggle("out", map.first.out[i]);
    });
    map.lines.forEach((line, i) => {
      ["stroke", "stroke-width", "stroke-dasharray"].forEach((name, j) => line.setAttribute(name, map.first.line[i][j]));
    });
    map.words.textContent = map.first.words;
  };
  const press = (name) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.jump === name)));
  redraw = () => {
    if (state === "worst") {
      shown.forEach(restore);
      output.textContent = "Whole period, worst value of each bus and line";
    } else {
      const k = Number(slider.value);
      shown.forEach((map) => paint(map, k));
      output.textContent = data.times[k];
    }
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  const jump = (name) => {
    press(name);
    if (name === "worst") { state = "worst"; redraw(); return; }
    const [list, sign] = { high: ["high", 1], low: ["low", -1], reverse: ["flow", -1], forward: ["flow", 1] }[name];
    let best = -Infinity;
    shown.filter((map) => chosen() === "" || chosen() === map.key).forEach((map) => {
      map[list].forEach((value, k) => { if (sign * value > best) { best = sign * value; slider.value = String(k); } });
    });
    state = "step";
    redraw();
  };
  slider.addEventListener("input", () => { state = "step"; press(""); redraw(); });
  buttons.forEach((button) => button.addEventListener("click", () => jump(button.dataset.jump)));
  window.addEventListener("beforeprint", () => { state = "worst"; press("worst"); redraw(); });

  const load = async (entry) => {
    const box = document.getElementById(`map-box-${entry.id}`);
    const buses = all(".mb circle", box);
    const lines = all(".ml path", box);
    const words = box.querySelector(".state");
    const line = lines.map((part) => ["stroke", "stroke-width", "stroke-dasharray"].map((name) => part.getAttribute(name) || ""));
    return {
      ...entry, buses, lines, words, v: await unpack(entry.v, buses.length), l: await unpack(entry.l, lines.length),
      first: {
        fill: buses.map((bus) => bus.getAttribute("fill")), out: buses.map((bus) => bus.classList.contains("out")),
        line, words: words.textContent,
      },
    };
  };
  Promise.all(data.strategies.map(load)).then((maps) => {
    shown.push(...maps);
    control.classList.add("ready");
    choose();
  });
})();
